"""How written images differ from one study to the next, within what their IOD allows."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray
from pydicom import Dataset

from synthcohort.dicom import write
from synthcohort.dicom.encode import Stored

Choice = TypeVar("Choice")

SYNTAX_SHARES = {
    "explicit": 0.42,
    "implicit": 0.20,
    "deflated": 0.03,
    "rle": 0.10,
    "jpeg-lossless": 0.03,
    "jpeg-lossless-sv1": 0.08,
    "jpeg-ls": 0.07,
    "jpeg-2000": 0.07,
}
# How scanners store Hounsfield units: share, bits stored, signed, slope, intercept, padding values in use (if any).
CT_STORAGE: tuple[tuple[float, int, bool, float, float, int | None], ...] = (
    (0.36, 12, False, 1.0, -1024.0, 0),
    (0.10, 12, True, 1.0, 0.0, -2000),
    (0.18, 16, True, 1.0, 0.0, -2000),
    (0.10, 16, True, 1.0, -1024.0, -2000),
    (0.10, 16, False, 1.0, -1024.0, 63536),
    (0.05, 13, True, 1.0, 0.0, -2000),
    (0.05, 14, False, 0.5, -1024.0, 0),
    (0.03, 12, False, 2.0, -1024.0, 0),
    (0.03, 15, True, 0.25, 0.0, -8000),
)
RADIOGRAPH_BITS = {10: 0.15, 12: 0.4, 13: 0.05, 14: 0.25, 15: 0.05, 16: 0.1}
WINDOW_SHARES = {
    "CT": {"none": 0.15, "one": 0.5, "several": 0.35},
    "DX": {"one": 0.45, "several": 0.2, "exact": 0.1, "lut": 0.25},
    "CR": {"none": 0.4, "one": 0.35, "several": 0.15, "exact": 0.05, "lut": 0.05},
}
CT_WINDOWS = (("BRAIN", 40.0, 80.0), ("BONE", 600.0, 2800.0), ("SUBDURAL", 75.0, 215.0))
CR_RESCALE = ((1.0, 0.0), (0.5, 0.0), (2.0, -1000.0), (0.25, 100.0))
HU_RANGE = (-1024.0, 30000.0)
LUT_BITS = 16
LUT_NODES = 4096


@dataclass(frozen=True)
class Storage:
    """How the images of one study are stored.

    Attributes
    ----------
    modality : {"CT", "CR", "DX"}
    syntax : str
        Transfer syntax, one of `synthcohort.dicom.encode.TRANSFER_SYNTAXES`.
    bits : int
        Bits stored, of 16 allocated.
    signed : bool
    photometric : {"MONOCHROME1", "MONOCHROME2"}
    rescale : bool
        Whether `slope` and `intercept` stand in the file.
    slope, intercept : float
        From stored values to units.
    low, high : int
        CT: the smallest and largest stored value of the image; radiographs: those between which it is shown.
    padding : int or None
        Stored value of what is not image, outside `low` to `high`.
    circular : bool
        CT: whether only the inscribed circle is image.
    window : {"none", "one", "several", "exact", "lut"}
        What says how values are shown: windows, one with the function LINEAR_EXACT, or a VOI LUT.
    bend : float
        Slope of the VOI LUT's curve is 1 + bend at its ends and 1 - bend in the middle; 0 is a line.
    margins : tuple of int
        Pixels added (or, negative, cut off) at top, bottom, left and right.
    """

    modality: str
    syntax: str
    bits: int
    signed: bool
    photometric: str
    rescale: bool
    slope: float
    intercept: float
    low: int
    high: int
    padding: int | None
    circular: bool
    window: str
    bend: float
    margins: tuple[int, int, int, int]


def choose_storage(anatomy: str, view: str, side: int, seed: int) -> Storage:
    """Choose how a study is stored.

    Parameters
    ----------
    anatomy : {"head", "chest"}
        Head studies are CT, chest studies CR or DX.
    view : {"PA", "AP", ""}
        Chest only: images taken at the bedside (AP) are more often CR.
    side : int
        Side of the drawn images in pixels, to which margins are scaled.
    seed : int
        Seed of the study; the same gives the same choice.
    """
    rng = np.random.default_rng(seed)
    if anatomy == "head":
        return _choose_ct(side, rng)
    return _choose_radiograph("CR" if rng.random() < (0.7 if view == "AP" else 0.3) else "DX", side, rng)


def _choose_ct(side: int, rng: np.random.Generator) -> Storage:
    number = rng.choice(len(CT_STORAGE), p=[row[0] for row in CT_STORAGE])
    _, bits, signed, slope, intercept, padding = CT_STORAGE[number]
    largest = (1 << bits - signed) - 1
    low, high = (round((hu - intercept) / slope) for hu in HU_RANGE)
    padded = rng.random() < 0.4
    return Storage(
        modality="CT",
        syntax=_pick(SYNTAX_SHARES, rng),
        bits=bits,
        signed=signed,
        photometric="MONOCHROME2",
        rescale=True,
        slope=slope,
        intercept=intercept,
        low=low + 1 if padded and low == padding else low,
        high=min(high, largest),
        padding=padding if padded else None,
        circular=bool(padded and rng.random() < 0.8),
        window=_pick(WINDOW_SHARES["CT"], rng),
        bend=0.0,
        margins=_choose_margins(side, rng),
    )


def _choose_radiograph(modality: str, side: int, rng: np.random.Generator) -> Storage:
    window = _pick(WINDOW_SHARES[modality], rng)
    bits = _pick(RADIOGRAPH_BITS, rng)
    if window == "lut":
        bits = min(bits, 12)  # a table for more would dwarf the image
    largest = (1 << bits) - 1
    low, high = 0, largest
    if window != "none":  # without a window the stored range is all there is to go by
        low, high = round(largest * 0.25 * rng.random()), round(largest * (1 - 0.25 * rng.random()))
    photometric = "MONOCHROME1" if rng.random() < 0.5 else "MONOCHROME2"
    padding = 0 if photometric == "MONOCHROME1" else largest  # shows white where it is taken for image
    padded = rng.random() < 0.3 and not low <= padding <= high
    rescale = modality == "DX" or (window != "lut" and rng.random() < 0.4)  # a LUT is indexed by whole units
    slope, intercept = CR_RESCALE[rng.integers(len(CR_RESCALE))] if modality == "CR" and rescale else (1.0, 0.0)
    return Storage(
        modality=modality,
        syntax=_pick(SYNTAX_SHARES, rng),
        bits=bits,
        signed=False,
        photometric=photometric,
        rescale=rescale,
        slope=slope,
        intercept=intercept,
        low=low,
        high=high,
        padding=padding if padded else None,
        circular=False,
        window=window,
        bend=round(rng.uniform(-0.5, 0.5), 2) if window == "lut" else 0.0,
        margins=_choose_margins(side, rng),
    )


def _pick(shares: Mapping[Choice, float], rng: np.random.Generator) -> Choice:
    """Pick a key as often as its share says."""
    names = list(shares)
    return names[rng.choice(len(names), p=list(shares.values()))]


def _choose_margins(side: int, rng: np.random.Generator) -> tuple[int, int, int, int]:
    """Half of the studies keep the drawn matrix; the others lose or gain a few rows and columns.

    One of the two sides always keeps its length at least, so that a study at the drawn resolution can use every image.
    """
    if rng.random() < 0.5:
        return (0, 0, 0, 0)
    top, bottom, left, right = rng.integers(-(side // 40), side // 16, 4, endpoint=True).tolist()
    if top + bottom < 0 and left + right < 0:
        left, right = -left, -right
    return (top, bottom, left, right)


def store_pixels(
    image: NDArray[np.float32], mask: NDArray[np.uint16], storage: Storage
) -> tuple[Stored, NDArray[np.uint16], tuple[int, int]]:
    """Turn a drawn image into stored values.

    Parameters
    ----------
    image : numpy.ndarray
        float32 ``[side, side]``, Hounsfield units or presentation values 0–1 (1 = white).
    mask : numpy.ndarray
        uint16 ``[side, side]``, bit k for finding k.
    storage : Storage
        How the study is stored.

    Returns
    -------
    stored : numpy.ndarray
        uint16 or int16 ``[rows, columns]``.
    mask : numpy.ndarray
        uint16 ``[rows, columns]``, with the same margins.
    offset : tuple of int
        Rows and columns that were added (or, negative, cut off) at top and left.
    """
    if storage.modality == "CT":
        values = np.rint((image - storage.intercept) / storage.slope)
        background = storage.low
    else:
        shown = 1 - image if storage.photometric == "MONOCHROME1" else image
        if storage.window == "lut":
            shown = np.interp(shown, _curve(storage.bend), np.linspace(0, 1, LUT_NODES)).astype(np.float32)
        values = np.rint(storage.low + shown * (storage.high - storage.low))
        background = storage.high if storage.photometric == "MONOCHROME1" else storage.low
    stored = np.clip(values, storage.low, storage.high).astype(np.int16 if storage.signed else np.uint16)
    if storage.padding is not None:
        background = storage.padding
    if storage.circular:
        outside = _outside_circle(len(image))
        stored[outside] = background
        mask = np.where(outside, np.uint16(0), mask)
    margins = _spare_lesions(storage.margins, mask)
    return (
        _reframe(stored, margins, background),
        _reframe(mask, margins, 0).astype(np.uint16, copy=False),
        (margins[0], margins[2]),
    )


def set_storage(dataset: Dataset, storage: Storage) -> None:
    """Write into an object how its stored values become units, and how these are shown."""
    if storage.rescale:
        write.set_rescale(dataset, storage.slope, storage.intercept, "HU" if storage.modality == "CT" else "US")
    if storage.modality == "CT":
        windows = CT_WINDOWS[: {"none": 0, "one": 1, "several": 3}[storage.window]]
        if windows:
            write.set_windows(dataset, [window[1:] for window in windows], [window[0] for window in windows])
    elif storage.window == "lut":
        table = np.interp(
            np.linspace(0, 1, storage.high - storage.low + 1), np.linspace(0, 1, LUT_NODES), _curve(storage.bend)
        )
        write.set_voi_lut(dataset, storage.low, np.rint(table * ((1 << LUT_BITS) - 1)).astype(np.uint16), LUT_BITS)
    elif storage.window != "none":
        exact = storage.window == "exact"
        low, high = (storage.slope * value + storage.intercept for value in (storage.low, storage.high))
        center, width = write.window_of(low, high, exact)
        if storage.window == "several":
            widths = {"NORMAL": width, "HARDER": width * 0.7, "SOFTER": width * 1.4}
            write.set_windows(dataset, [(center, width) for width in widths.values()], list(widths))
        else:
            write.set_windows(dataset, [(center, width)], exact=exact)


@cache
def _curve(bend: float) -> NDArray[np.float64]:
    """Rise from 0 to 1 over `LUT_NODES` equal steps as an S (bend < 0) or its inverse."""
    t = np.linspace(0, 1, LUT_NODES)
    return t + bend * np.sin(2 * np.pi * t) / (2 * np.pi)


@cache
def _outside_circle(side: int) -> NDArray[np.bool_]:
    """Mark what lies outside the circle inscribed in a square matrix."""
    place = np.arange(side) - (side - 1) / 2
    return np.hypot(place[:, None], place[None, :]) > side / 2


def _spare_lesions(margins: tuple[int, int, int, int], mask: NDArray[np.uint16]) -> tuple[int, int, int, int]:
    """Cut no further than to the first row or column that a lesion touches."""
    if min(margins) >= 0 or not mask.any():
        return margins
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    free = (rows[0], len(mask) - 1 - rows[-1], columns[0], len(mask) - 1 - columns[-1])
    top, bottom, left, right = (max(margin, -int(room)) for margin, room in zip(margins, free, strict=True))
    return (top, bottom, left, right)


def _reframe(array: Stored, margins: tuple[int, int, int, int], fill: int) -> Stored:
    """Cut rows and columns off, and add others that hold `fill`; nothing is scaled."""
    if not any(margins):
        return array
    top, bottom, left, right = margins
    rows, columns = array.shape
    kept = array[max(-top, 0) : rows - max(-bottom, 0), max(-left, 0) : columns - max(-right, 0)]
    added = ((max(top, 0), max(bottom, 0)), (max(left, 0), max(right, 0)))
    return np.pad(kept, added, constant_values=fill)
