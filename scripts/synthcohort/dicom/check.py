"""Which headers are fit to be used, and why not."""

import math

from pydicom.uid import JPEGExtended12Bit

from synthcohort.core.cohort_config import Ingest
from synthcohort.dicom.decode import DECODERS
from synthcohort.dicom.header import COLOURS, FOR_PROCESSING_CLASSES, Header
from synthcohort.dicom.reasons import Reason, UnfitError


def check_header(header: Header, ingest: Ingest, smallest: int) -> None:
    """Check everything that can be known without the pixels.

    Parameters
    ----------
    header : Header
        From `read.read_header`, completed by what the label table says (`told.complete`).
    ingest : Ingest
        Which modalities and views are wanted, and the limits.
    smallest : int
        Largest resolution of the study: images with fewer pixels along their longer side would be blown up.

    Raises
    ------
    UnfitError
        With the first reason found.
    """
    if header.is_picture:
        _check_picture(header, ingest)
    else:
        _check_content(header, ingest)
        _check_matrix(header)
    if header.rows * header.columns > ingest.maximum_pixels:
        raise UnfitError(Reason.TOO_LARGE)
    _check_size(header, smallest)
    if header.modality == "CT":
        _check_hounsfield(header)
    else:
        _check_presentation(header)
    if not header.sop_instance_uid and not header.is_picture:
        raise UnfitError(Reason.NO_UID)
    if not header.patient_id:
        raise UnfitError(Reason.NO_PATIENT)


def _check_picture(header: Header, ingest: Ingest) -> None:
    if "CT" in ingest.modalities:
        raise UnfitError(Reason.NO_UNITS)
    if header.frames != 1:
        raise UnfitError(Reason.MULTI_FRAME)
    if ingest.frontal_only and header.view == "other":
        raise UnfitError(Reason.NOT_FRONTAL)


def _check_content(header: Header, ingest: Ingest) -> None:
    if not header.modality and not header.sop_class:  # every image object says both: here the file ends too early
        raise UnfitError(Reason.DAMAGED)
    if header.modality not in ingest.modalities:
        raise UnfitError(Reason.MODALITY)
    if header.rows < 1 or header.columns < 1:
        raise UnfitError(Reason.NOT_IMAGE)
    if (header.samples > 1 and header.photometric in COLOURS) or header.photometric == "PALETTE COLOR":
        raise UnfitError(Reason.COLOUR)
    if header.photometric not in ("MONOCHROME1", "MONOCHROME2") or header.samples != 1:
        raise UnfitError(Reason.PHOTOMETRIC)
    if header.frames != 1:
        raise UnfitError(Reason.MULTI_FRAME)
    if "LOCALIZER" in header.image_type:
        raise UnfitError(Reason.LOCALIZER)
    if header.intent == "FOR PROCESSING" or header.sop_class in FOR_PROCESSING_CLASSES:
        raise UnfitError(Reason.FOR_PROCESSING)
    if ingest.frontal_only and header.modality != "CT" and header.view == "other":
        raise UnfitError(Reason.NOT_FRONTAL)
    if header.burned_in == "YES" and not ingest.allow_burned_in_annotation:
        raise UnfitError(Reason.BURNED_IN)


def _check_matrix(header: Header) -> None:
    if header.transfer_syntax not in DECODERS:
        raise UnfitError(Reason.TRANSFER_SYNTAX)
    allocated, stored = header.bits_allocated, header.bits_stored
    if allocated not in (8, 16) or not 1 <= stored <= allocated:
        raise UnfitError(Reason.BITS)
    if header.high_bit != stored - 1 or header.signed not in (0, 1):
        raise UnfitError(Reason.BITS)
    if header.transfer_syntax == JPEGExtended12Bit and stored != 8:
        raise UnfitError(Reason.TRANSFER_SYNTAX)
    if header.modality == "CT" and stored < 12:  # PS3.3 C.8.2.1.1.4: lossy writers scale to 8 bits and lose the units
        raise UnfitError(Reason.CT_8_BIT)


def _check_size(header: Header, smallest: int) -> None:
    vertical, horizontal = header.spacing
    if not (0 < vertical < math.inf and 0 < horizontal < math.inf):
        raise UnfitError(Reason.SPACING)
    side = max(header.rows * vertical, header.columns * horizontal)
    if side < smallest * max(vertical, horizontal) * (1 - 1e-6):
        raise UnfitError(Reason.TOO_SMALL)


def _check_hounsfield(header: Header) -> None:
    """CT must say how its values become Hounsfield units (PS3.3 C.8.2.1: both attributes are type 1)."""
    if header.slope is None or header.intercept is None:
        raise UnfitError(Reason.NO_RESCALE)
    _check_rescale(header.slope, header.intercept)
    if header.rescale_type not in ("", "HU"):
        raise UnfitError(Reason.UNITS)


def _check_presentation(header: Header) -> None:
    """Radiographs: rescale and window may be absent, but not half there (PS3.3 C.11.1 and C.11.2)."""
    inverse = header.photometric == "MONOCHROME1"
    if header.presentation_shape == ("IDENTITY" if inverse else "INVERSE"):
        raise UnfitError(Reason.PHOTOMETRIC)
    if (header.slope is None) != (header.intercept is None):
        raise UnfitError(Reason.NO_RESCALE)
    if header.slope is not None and header.intercept is not None:
        _check_rescale(header.slope, header.intercept)
    if len(header.window_centers) != len(header.window_widths):
        raise UnfitError(Reason.WINDOW)
    if header.window_widths:
        center, width = header.window_centers[0], header.window_widths[0]
        linear = header.window_function in ("", "LINEAR")
        if not math.isfinite(center) or not (1 if linear else 0) < width < math.inf:
            raise UnfitError(Reason.WINDOW)
        if not linear and header.window_function not in ("LINEAR_EXACT", "SIGMOID"):
            raise UnfitError(Reason.WINDOW)


def _check_rescale(slope: float, intercept: float) -> None:
    if not math.isfinite(slope) or not math.isfinite(intercept) or slope == 0:
        raise UnfitError(Reason.RESCALE)
