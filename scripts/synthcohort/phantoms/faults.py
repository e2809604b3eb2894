"""Broken and unfit files, each with exactly one flaw, to show what happens to such files and to test it."""

import io
from collections.abc import Callable

import numpy as np
from PIL import Image, ImageDraw
from pydicom import Dataset
from pydicom.uid import DigitalXRayImageStorageForProcessing, MRImageStorage

from synthcohort.core.seeds import derive_seed
from synthcohort.dicom import write
from synthcohort.dicom.encode import Stored, compress

_ANYWHERE = (
    "cut_pixels",
    "text_file",
    "no_pixels",
    "illegal_bits",
    "wrong_modality",
    "cut_jpeg",
    "burned_in",
    "empty_file",
    "short_pixels",
    "colour",
    "unlabelled",
    "multi_frame",
    "duplicate",
    "png_file",
    "cut_header",
    "blank",
)
FAULTS = {
    "head": ("missing_rescale", "localizer", "zero_slope", *_ANYWHERE),
    "chest": ("lateral_view", "for_processing", "zero_window", *_ANYWHERE),
}
"""Names of the faults that files of an anatomy can have; its own come first, so that a small cohort has them."""
WITHOUT_UID = frozenset({"empty_file", "text_file", "png_file", "cut_header"})
"""Faults whose files name no SOP instance."""
KEEPING_UID = frozenset({"duplicate"})
"""Faults whose files carry the UID of the image that they were made from."""


def assign_faults(anatomy: str, images: int, share: float, seed: int) -> dict[int, str]:
    """Choose which images get an unfit copy beside them, and of which kind.

    Parameters
    ----------
    anatomy : {"head", "chest"}
    images : int
        Number of good images.
    share : float
        Share of all files, good and unfit, that are unfit.
    seed : int
        Seed of the drawing.

    Returns
    -------
    dict
        Row of the image to name of the fault; every fault is as frequent as any other.
    """
    names = FAULTS[anatomy]
    count = min(round(images * share / (1 - share)), images)
    rows = np.random.default_rng(derive_seed(seed, "faults", anatomy)).permutation(images)[:count]
    return {int(row): names[number % len(names)] for number, row in enumerate(rows)}


def spoil(dataset: Dataset, fault: str) -> bytes:
    """Write an object as a file that has one flaw.

    Parameters
    ----------
    dataset : pydicom.Dataset
        A good object with native pixels; it is changed.
    fault : str
        One of `FAULTS`.
    """
    if fault in _FILES:
        return _FILES[fault](dataset)
    _CHANGES[fault](dataset)
    return write.file_bytes(dataset, "explicit")


def _text(dataset: Dataset) -> bytes:
    """Write notes, as somebody left them among the images."""
    return f"Simulated notes about {dataset.PatientName}\n".encode() * 20


def _png(dataset: Dataset) -> bytes:
    """Write a picture that is no DICOM."""
    buffer = io.BytesIO()
    Image.fromarray(_grey(dataset)).save(buffer, "PNG")
    return buffer.getvalue()


def _cut_header(dataset: Dataset) -> bytes:
    """Break a transfer off within the file meta information."""
    return write.file_bytes(dataset, "explicit")[:200]


def _cut_pixels(dataset: Dataset) -> bytes:
    """Break a transfer off within the pixel data."""
    return write.file_bytes(dataset, "explicit")[: -len(dataset.PixelData) // 2]


def _cut_jpeg(dataset: Dataset) -> bytes:
    """Stop a JPEG lossless stream half way; some decoders return garbage for it."""
    stream = compress(_stored(dataset), dataset.BitsStored, dataset.PhotometricInterpretation, "jpeg-lossless-sv1")
    write.put_stream(dataset, stream[: len(stream) // 2])
    return write.file_bytes(dataset, "jpeg-lossless-sv1")


def _shorten_pixels(dataset: Dataset) -> None:
    """Leave less pixel data than rows and columns ask for, in a file that is whole."""
    dataset.PixelData = dataset.PixelData[: len(dataset.PixelData) // 4 * 2]


def _remove_pixels(dataset: Dataset) -> None:
    del dataset.PixelData


def _blank(dataset: Dataset) -> None:
    """Give every pixel the value of the middle one."""
    stored = _stored(dataset)
    dataset.PixelData = np.full_like(stored, stored[stored.shape[0] // 2, stored.shape[1] // 2]).tobytes()


def _break_bits(dataset: Dataset) -> None:
    """Store more bits than are allocated."""
    dataset.BitsStored, dataset.HighBit = 20, 19


def _make_mr(dataset: Dataset) -> None:
    dataset.SOPClassUID, dataset.Modality = MRImageStorage, "MR"


def _double_frames(dataset: Dataset) -> None:
    dataset.NumberOfFrames = "2"
    dataset.PixelData = dataset.PixelData * 2


def _make_colour(dataset: Dataset) -> None:
    """Turn the image into RGB, as dose reports are."""
    pixels = np.repeat(_grey(dataset)[:, :, None], 3, axis=2).tobytes()
    dataset.SamplesPerPixel, dataset.PlanarConfiguration, dataset.PhotometricInterpretation = 3, 0, "RGB"
    dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit, dataset.PixelRepresentation = 8, 8, 7, 0
    if "PixelPaddingValue" in dataset:
        del dataset.PixelPaddingValue
    dataset.PixelData = pixels + b"\0" * (len(pixels) % 2)


def _burn_in(dataset: Dataset) -> None:
    """Write the patient's name into the pixels, and say so."""
    stored = _stored(dataset).copy()
    text = Image.new("1", stored.shape[::-1])
    ImageDraw.Draw(text).text((2, 2), str(dataset.PatientName), fill=1)
    stored[np.asarray(text)] = stored.max()
    dataset.PixelData = stored.tobytes()
    dataset.BurnedInAnnotation = "YES"


def _make_localizer(dataset: Dataset) -> None:
    dataset.ImageType = ["ORIGINAL", "PRIMARY", "LOCALIZER"]


def _remove_rescale(dataset: Dataset) -> None:
    del dataset.RescaleSlope, dataset.RescaleIntercept, dataset.RescaleType


def _flatten_slope(dataset: Dataset) -> None:
    dataset.RescaleSlope = "0"


def _make_lateral(dataset: Dataset) -> None:
    write.set_view(dataset, "LL")


def _make_raw(dataset: Dataset) -> None:
    """Declare the image to be a DX with raw detector values (PS3.3 A.26.2)."""
    dataset.SOPClassUID, dataset.Modality = DigitalXRayImageStorageForProcessing, "DX"
    dataset.PresentationIntentType = "FOR PROCESSING"


def _close_window(dataset: Dataset) -> None:
    """Leave nothing but a window without width."""
    for keyword in ("VOILUTSequence", "WindowCenterWidthExplanation", "VOILUTFunction"):
        if keyword in dataset:
            delattr(dataset, keyword)
    dataset.WindowCenter, dataset.WindowWidth = "100", "0"


_FILES: dict[str, Callable[[Dataset], bytes]] = {
    "empty_file": lambda dataset: b"",
    "text_file": _text,
    "png_file": _png,
    "cut_header": _cut_header,
    "cut_pixels": _cut_pixels,
    "cut_jpeg": _cut_jpeg,
}
_CHANGES: dict[str, Callable[[Dataset], None]] = {
    "short_pixels": _shorten_pixels,
    "no_pixels": _remove_pixels,
    "blank": _blank,
    "illegal_bits": _break_bits,
    "wrong_modality": _make_mr,
    "multi_frame": _double_frames,
    "colour": _make_colour,
    "burned_in": _burn_in,
    "duplicate": lambda dataset: None,
    "unlabelled": lambda dataset: None,
    "localizer": _make_localizer,
    "missing_rescale": _remove_rescale,
    "zero_slope": _flatten_slope,
    "lateral_view": _make_lateral,
    "for_processing": _make_raw,
    "zero_window": _close_window,
}


def _stored(dataset: Dataset) -> Stored:
    """Read native pixel values back."""
    dtype = np.int16 if dataset.PixelRepresentation else np.uint16
    return np.frombuffer(dataset.PixelData, dtype).reshape(dataset.Rows, dataset.Columns)


def _grey(dataset: Dataset) -> np.ndarray:
    """Scale the pixels to 8 bits between their extremes."""
    stored = _stored(dataset).astype(np.float32)
    return np.rint((stored - stored.min()) * (255 / max(float(np.ptp(stored)), 1))).astype(np.uint8)
