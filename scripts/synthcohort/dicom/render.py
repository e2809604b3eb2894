"""From stored values to 8-bit square images: units, window, padding, size. The policy is the same for every file."""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from synthcohort.core import versions
from synthcohort.core.cohort_config import Ingest
from synthcohort.dicom.decode import Stored
from synthcohort.dicom.header import Header, Lut
from synthcohort.dicom.reasons import Reason, UnfitError
from synthcohort.dicom.resize import Plane, SquareMap, shrink, square_map

Mask = NDArray[np.bool_]
AIR = -1024.0
HIGHEST = 3071.0
# A slice through a person holds air or fat, and mostly values between air and dense bone: intercepts that are wrong,
# missing in fact or applied twice break one or the other.
AIR_OR_FAT_BELOW = -50.0
PLAUSIBLE = (-1100.0, 3100.0)
PERCENTILES = (0.5, 99.5)
SAMPLED_PIXELS = 250_000
WHITE = 255


@dataclass(frozen=True, eq=False)
class Rendering:
    """One file's images.

    Attributes
    ----------
    images : dict
        Resolution → uint8 ``[channels, resolution, resolution]``.
    windowed : str
        ``fixed`` (CT), ``voi_lut``, ``window`` (the file's first), ``percentiles`` or ``full_range`` (PNG and JPEG), or
        ``maximum`` (`scale_each_image`).
    low, high : float
        What became black and white, in Hounsfield units (first channel) or the file's own units.
    """

    images: dict[int, NDArray[np.uint8]]
    windowed: str
    low: float
    high: float


class Renderer:
    """Turn stored pixel values into images of every resolution at once.

    Parameters
    ----------
    ingest : Ingest
        Windows and modalities.
    resolutions : list of int
        Sides of the images; each divides the largest.

    Raises
    ------
    UserError
        When CT and radiographs are to be mixed in one cohort: their grey values have nothing in common.
    """

    def __init__(self, ingest: Ingest, resolutions: list[int]) -> None:
        self.is_ct = "CT" in ingest.modalities
        self.ingest = ingest
        self.resolutions = sorted(resolutions)
        self._buffer: Plane = np.empty((0, 0), np.float32)

    @property
    def windows(self) -> list[tuple[float, float]]:
        """CT: black and white of each channel in Hounsfield units; elsewhere none, each image has its own."""
        if not self.is_ct or self.ingest.scale_each_image:
            return []
        return [(w.center - w.width / 2, w.center + w.width / 2) for w in self.ingest.windows]

    @property
    def channels(self) -> int:
        """Channels of the images."""
        return len(self.windows) or 1

    @property
    def units(self) -> str:
        """What the grey values stand for."""
        if self.ingest.scale_each_image:
            return "share of the image's maximum"
        return "HU" if self.is_ct else "presentation"

    def policy(self) -> dict[str, Any]:
        """Everything that decides what becomes of a file's pixels, for store.json and for the digest of the cache."""
        grey: dict[str, Any] = (
            {"windows": self.windows, "hounsfield_range": [AIR, HIGHEST], "padding": "air"}
            if self.is_ct
            else {
                "window": "VOI LUT, else the first window of the file, else percentiles",
                "percentiles": list(PERCENTILES),
                "monochrome1": "inverted",
                "padding": "black",
            }
        )
        if self.ingest.scale_each_image:
            grey = {"window": "stored values, 0 to the image's maximum", "padding": "black"}
        return {
            "version": versions.PREPROCESS,
            "modalities": list(self.ingest.modalities),
            "units": self.units,
            **grey,
            "square": "centred, padded, pixels made square, never stretched",
            "resize": "mean over the area of each pixel",
            "frontal_only": self.ingest.frontal_only,
            "allow_burned_in_annotation": self.ingest.allow_burned_in_annotation,
            "maximum_pixels": self.ingest.maximum_pixels,
        }

    def render(self, stored: Stored, padding: Mask | None, header: Header) -> Rendering:
        """Render one file.

        Parameters
        ----------
        stored : numpy.ndarray
            ``[rows, columns]`` from `read.decode`.
        padding : numpy.ndarray or None
            bool ``[rows, columns]``: where nothing was measured.
        header : Header
            That has passed `check.check_header`.

        Returns
        -------
        Rendering

        Raises
        ------
        UnfitError
            When the values are constant, not plausible, or nothing of them can be seen.
        """
        measured = stored if padding is None else stored[~padding]
        if measured.size == 0 or (lowest := measured.min()) == (highest := measured.max()):
            raise UnfitError(Reason.CONSTANT)
        # A synthetic image is known within its window alone: it need not hold air, nor keep to the physical range.
        if self.is_ct and not self.ingest.scale_each_image and not header.synthetic:
            _check_plausible(measured, (int(lowest), int(highest)), header)
        if self._buffer.shape != stored.shape:  # fresh pages for every file would cost more than the arithmetic
            self._buffer = np.empty(stored.shape, np.float32)
        render = self._render_ct if self.is_ct else self._render_radiograph
        if self.ingest.scale_each_image:
            render = self._render_scaled
        return render(stored, padding, header)

    def render_masks(self, masks: NDArray[np.uint16], header: Header, findings: int) -> dict[int, NDArray[np.uint8]]:
        """Carry lesion masks through the same map as their image.

        Parameters
        ----------
        masks : numpy.ndarray
            uint16 ``[rows, columns]``; bit k is set where finding k shows.
        header : Header
            The image's.
        findings : int
            Number of findings.

        Returns
        -------
        dict
            Resolution → uint8 ``[findings, resolution, resolution]``; 255 = wholly covered.
        """
        if masks.shape != (header.rows, header.columns):
            raise UnfitError(Reason.MASK)
        largest = np.zeros((findings, self.resolutions[-1], self.resolutions[-1]), np.float32)
        mapping = square_map(*masks.shape, header.spacing, self.resolutions[-1])
        present = int(np.bitwise_or.reduce(masks, axis=None))
        for finding in range(findings):
            if present >> finding & 1:
                largest[finding] = mapping((masks >> finding & 1).astype(np.float32))
        return {side: _to_bytes(shrink(largest, side)) for side in self.resolutions}

    def _render_ct(self, stored: Stored, padding: Mask | None, header: Header) -> Rendering:
        slope, intercept = _rescale(header)
        side = self.resolutions[-1]
        mapping = square_map(*stored.shape, header.spacing, side)
        planes = np.empty((self.channels, side, side), np.float32)
        for plane, (low, high) in zip(planes, self.windows, strict=True):
            # Rescaling commutes with averaging: only the clip to window and physical range needs every pixel.
            limits = (low, high) if header.synthetic else (max(low, AIR), min(high, HIGHEST))
            darkest, brightest = ((limit - intercept) / slope for limit in limits)
            clipped = self._clip(stored, min(darkest, brightest), max(darkest, brightest), mapping)
            if padding is not None:
                clipped[padding] = darkest
            units = mapping(clipped, fill=darkest) * np.float32(slope) + np.float32(intercept - low)
            np.divide(units, np.float32(high - low), out=plane)
        low, high = self.windows[0]
        return Rendering(self._finish(planes, mapping.inside), "fixed", low, high)

    def _clip(self, stored: Stored, low: float, high: float, mapping: SquareMap) -> NDArray[Any]:
        """Clip as integers where that changes nothing, which takes a quarter of the time."""
        if mapping.fits(low, high, stored.dtype):
            integers = self._buffer.ravel().view(stored.dtype)[: stored.size].reshape(stored.shape)
            return np.clip(stored, int(low), int(high), out=integers)
        return np.clip(stored, np.float32(low), np.float32(high), out=self._buffer, dtype=np.float32, casting="unsafe")

    def _render_radiograph(self, stored: Stored, padding: Mask | None, header: Header) -> Rendering:
        self._to_modality_units(stored, header)
        values = self._buffer
        if header.voi_lut is not None:
            windowed, low, high = (
                "voi_lut",
                float(header.voi_lut.first),
                float(header.voi_lut.first + len(header.voi_lut.values) - 1),
            )
            values[...] = _look_up(header.voi_lut, values)
            _stretch(values, float(header.voi_lut.values.min()), float(header.voi_lut.values.max()))
        elif header.window_widths and header.window_function == "SIGMOID":
            windowed = "window"
            center, width = header.window_centers[0], header.window_widths[0]
            low, high = center - width / 2, center + width / 2
            with np.errstate(over="ignore"):
                values[...] = 1 / (1 + np.exp(-4 * (values - np.float32(center)) / np.float32(width)))
        else:
            windowed, low, high = _limits(values, padding, header)
            _stretch(values, low, high)
        if header.photometric == "MONOCHROME1":
            np.subtract(1, values, out=values)
        if padding is not None:
            values[padding] = 0
        mapping = square_map(*stored.shape, header.spacing, self.resolutions[-1])
        return Rendering(self._finish(mapping(values)[None], mapping.inside), windowed, low, high)

    def _render_scaled(self, stored: Stored, padding: Mask | None, header: Header) -> Rendering:
        """Divide stored values by their maximum, as the paper did; below 0 is black."""
        highest = float(stored.max())
        if highest <= 0:
            raise UnfitError(Reason.INVISIBLE)
        self._buffer[...] = stored
        _stretch(self._buffer, 0.0, highest)
        if padding is not None:
            self._buffer[padding] = 0
        mapping = square_map(*stored.shape, header.spacing, self.resolutions[-1])
        return Rendering(self._finish(mapping(self._buffer)[None], mapping.inside), "maximum", 0.0, highest)

    def _to_modality_units(self, stored: Stored, header: Header) -> None:
        """Fill the buffer with modality units (PS3.3 C.11.1); a table takes the place of slope and intercept."""
        if header.modality_lut is not None:
            self._buffer[...] = _look_up(header.modality_lut, stored)
        else:
            slope, intercept = _rescale(header)
            np.multiply(stored, np.float32(slope), out=self._buffer, casting="unsafe")
            np.add(self._buffer, np.float32(intercept), out=self._buffer)

    def _finish(self, largest: NDArray[np.float32], inside: tuple[slice, slice]) -> dict[int, NDArray[np.uint8]]:
        images = {side: _to_bytes(shrink(largest, side)) for side in self.resolutions}
        visible = images[self.resolutions[-1]][:, inside[0], inside[1]]
        if (visible.min(axis=(1, 2)) == visible.max(axis=(1, 2))).all():
            raise UnfitError(Reason.INVISIBLE)
        return images


def _rescale(header: Header) -> tuple[float, float]:
    """Slope and intercept; a radiograph may have none."""
    return (1.0, 0.0) if header.slope is None or header.intercept is None else (header.slope, header.intercept)


def _check_plausible(measured: Stored, ends_stored: tuple[int, int], header: Header) -> None:
    slope, intercept = _rescale(header)
    ends = sorted(end * slope + intercept for end in ends_stored)
    if ends[0] > AIR_OR_FAT_BELOW:
        raise UnfitError(Reason.NOT_PHYSICAL)
    if ends[0] < PLAUSIBLE[0] or ends[1] > PLAUSIBLE[1]:
        low, high = sorted((limit - intercept) / slope for limit in PLAUSIBLE)
        if np.count_nonzero((measured >= low) & (measured <= high)) * 2 < measured.size:
            raise UnfitError(Reason.NOT_PHYSICAL)


def _limits(values: Plane, padding: Mask | None, header: Header) -> tuple[str, float, float]:
    """How to stretch a radiograph: its first window (PS3.3 C.11.2.1.2 and .3), else percentiles of its values.

    Whoever made a PNG or JPEG has windowed it already: it keeps the full range of its bit depth.
    """
    if header.is_picture:
        return "full_range", 0.0, float((1 << header.bits_stored) - 1)
    if header.window_widths:
        center, width = header.window_centers[0], header.window_widths[0]
        if header.window_function == "LINEAR_EXACT":
            return "window", center - width / 2, center + width / 2
        return "window", center - 0.5 - (width - 1) / 2, center - 0.5 + (width - 1) / 2
    step = max(1, math.isqrt(values.size // SAMPLED_PIXELS))
    sample = values[::step, ::step]
    if padding is not None:
        measured = sample[~padding[::step, ::step]]
        sample = measured if measured.size else values[~padding]
    low, high = (float(limit) for limit in np.percentile(sample, PERCENTILES))
    if low == high:
        raise UnfitError(Reason.INVISIBLE)
    return "percentiles", low, high


def _stretch(values: Plane, low: float, high: float) -> None:
    """Map low to 0 and high to 1 in place, and clip."""
    np.subtract(values, np.float32(low), out=values)
    np.multiply(values, np.float32(1 / (high - low)), out=values)
    np.clip(values, 0, 1, out=values)


def _look_up(lut: Lut, values: NDArray[Any]) -> Plane:
    """Values below or above the table take its first or last entry."""
    positions = np.rint(values).astype(np.int64) - lut.first
    return lut.values[np.clip(positions, 0, len(lut.values) - 1)]


def _to_bytes(values: NDArray[np.float32]) -> NDArray[np.uint8]:
    grey = values * np.float32(WHITE)
    return np.clip(np.rint(grey, out=grey), 0, WHITE, out=grey).astype(np.uint8)
