"""Why a file is not used: a fixed vocabulary, so that nothing of a file's own text gets into a table or a log."""

from enum import StrEnum


class Reason(StrEnum):
    """Reasons of rejection, in the order in which they are looked for."""

    # The file
    CANNOT_OPEN = "cannot be opened"
    NAME = "file name not UTF-8"
    NOT_REGULAR = "not a regular file"
    FOLDER_LOCKED = "folder cannot be opened"
    NOT_DICOM = "not a DICOM file"
    DICOMDIR = "a DICOMDIR, not an image"
    DAMAGED = "header damaged"
    # What it shows
    MODALITY = "modality not wanted"
    NOT_IMAGE = "no image in the file"
    COLOUR = "colour image"
    MULTI_FRAME = "more than one frame"
    LOCALIZER = "localizer"
    FOR_PROCESSING = "raw image (for processing)"
    NOT_FRONTAL = "view not frontal"
    NO_UNITS = "PNG or JPEG, which hold no Hounsfield units"
    TRANSPARENT = "transparent pixels"
    BURNED_IN = "text burned into the pixels"
    # Whether its pixels can be understood
    TRANSFER_SYNTAX = "transfer syntax not supported"
    PHOTOMETRIC = "photometric interpretation contradicts itself"
    BITS = "bits allocated, stored and high bit do not fit"
    CT_8_BIT = "CT with fewer than 12 bits"
    TOO_LARGE = "larger than maximum_pixels"
    SPACING = "pixel spacing not positive"
    TOO_SMALL = "smaller than the target"
    NO_RESCALE = "rescale slope or intercept missing"
    RESCALE = "rescale slope or intercept not usable"
    UNITS = "units not Hounsfield units"
    WINDOW = "window width or centre not usable"
    LUT = "lookup table not usable"
    # Whose it is
    NO_UID = "no SOP instance UID"
    NO_PATIENT = "no patient ID"
    NO_LABEL = "no label"
    DUPLICATE = "SOP instance UID seen before"
    SLICE = "slice left out by slice_step"
    UNLABELLED = "no positive finding (protocol)"
    # Its pixels
    NO_PIXELS = "no pixel data"
    SHORT = "pixel data shorter than the header says"
    LONG = "pixel data longer than the header says"
    FRAMES = "more frames than the header says"
    CUT_OFF = "compressed data cut off"
    CODESTREAM = "compressed image differs from the header"
    UNDECODABLE = "pixel data cannot be decoded"
    CONSTANT = "all pixels equal"
    NOT_PHYSICAL = "Hounsfield units not plausible"
    INVISIBLE = "nothing visible in the window"
    MASK = "mask does not fit the image"


BY_CHOICE = frozenset({Reason.NOT_FRONTAL, Reason.SLICE, Reason.UNLABELLED})
"""Nothing is wrong with these files: they do not count where the share of rejected files is limited."""


class UnfitError(Exception):
    """A file that cannot be used; caught where the file is known, and turned into a row with the reason."""

    def __init__(self, reason: Reason) -> None:
        super().__init__(reason.value)
        self.reason = reason
