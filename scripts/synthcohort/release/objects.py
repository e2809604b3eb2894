"""A synthetic image as a DICOM object: nobody's identity, new UIDs, and pixels that say what they stand for."""

import hashlib
import json
from collections.abc import Mapping
from typing import Any, Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from pydicom import Dataset

from synthcohort import __version__
from synthcohort.core.cohort_config import Ingest
from synthcohort.core.errors import UserError
from synthcohort.core.store import StoreInfo
from synthcohort.dicom import write

Modality = Literal["CT", "CR", "DX"]
STATEMENT = "SYNTHETIC IMAGE made by a neural network: no person was imaged, not for clinical use."
FIELD_OF_VIEW: dict[str, float] = {"CT": 250.0, "CR": 400.0, "DX": 400.0}
"""Side of the images in millimetres where nothing else is said: a head, a chest."""
SYNTAX = "explicit"
CT_BITS, GREY_BITS = 12, 8
WHITE = 255
IMAGE_TYPES = {
    "CT": ["DERIVED", "PRIMARY", "AXIAL"],
    "CR": ["DERIVED", "PRIMARY"],
    "DX": ["DERIVED", "PRIMARY", ""],
}
NO_BODY_PART: dict[str, dict[str, Any]] = {
    "CT": {"Laterality": ""},
    "CR": {"Laterality": "", "BodyPartExamined": "", "PatientOrientation": ""},
    "DX": {"BodyPartExamined": "", "AnatomicRegionSequence": []},
}
FRONTAL = ("399033003", "frontal projection")
"""SNOMED CT code of PS3.16 CID 4010: whether from the front or from behind is not known of a synthetic radiograph."""
_PIXEL_DATA = 0x7FE00010


def choose_modality(ingest: Ingest) -> Modality:
    """Choose what a cohort's synthetic images are written as.

    Radiographs become DX, whose values are ready for display; CR where the cohort has no DX, or where views were not
    checked, because DX has to name the view.
    """
    if "CT" in ingest.modalities:
        return "CT"
    return "DX" if "DX" in ingest.modalities and ingest.frontal_only else "CR"


class ObjectWriter:
    """Write the images of one synthetic store, each as a study of its own of a patient of its own.

    CT: 12 of 16 bits hold the store's grey values 0 to 255 of the first window; slope and intercept give back
    Hounsfield units, black and white being the window's ends: what lay beyond them was never generated. CR and DX:
    8 bits, shown as they are by an identity window.

    Parameters
    ----------
    info : StoreInfo
        Of the synthetic store.
    modality : {"CT", "CR", "DX"}
        From `choose_modality`.
    seed : int
        With the image's name and all that is written it decides the UIDs: other images, labels or headers never share
        them.
    field_of_view : float, optional
        Side of the image in millimetres: the spacing is nominal. `FIELD_OF_VIEW` where it is left out.

    Raises
    ------
    UserError
        When CT images have no Hounsfield units.
    """

    def __init__(self, info: StoreInfo, modality: Modality, seed: int, field_of_view: float | None = None) -> None:
        if modality == "CT" and not info.windows:
            raise UserError(
                f"release: the CT images of {info.cohort} have no Hounsfield units, as protocol.scale_each_image is "
                "on, so they cannot become DICOM; release a cohort of the corrected protocol."
            )
        self.info = info
        self.modality = modality
        self.spacing = (field_of_view or FIELD_OF_VIEW[modality]) / info.resolution
        self.shared = write.element_bytes(self._shared(), SYNTAX)
        self.key = (seed, info.data_version, hashlib.sha256(b"".join(self.shared.values())).hexdigest())

    def write(self, number: int, image: NDArray[np.uint8], record: Mapping[Any, Any]) -> tuple[str, bytes]:
        """Make the file of one image.

        Parameters
        ----------
        number : int
            Of the patient: SYNTHETIC^number.
        image : numpy.ndarray
            uint8 ``[side, side]``: the first channel.
        record : mapping
            Its row of records.parquet: ``image_id``, ``patient_id`` and findings.

        Returns
        -------
        uid : str
            Its SOP instance UID.
        file : bytes
            The same arguments give the same bytes.
        """
        own = Dataset()
        name = ("release", *self.key, record["image_id"])
        uid = write.make_uid(*name, "image")
        write.set_attributes(
            own,
            {
                "SOPClassUID": write.SOP_CLASSES[self.modality],
                "SOPInstanceUID": uid,
                "StudyInstanceUID": write.make_uid(*name, "study"),
                "SeriesInstanceUID": write.make_uid(*name, "series"),
                "StudyID": str(number),
                "PatientName": f"SYNTHETIC^{number:06d}",
                "PatientID": record["patient_id"],
                "ImageComments": findings_text({name: record[name] for name in self.info.finding_names}),
            },
        )
        if self.modality == "CT":
            own.FrameOfReferenceUID = write.make_uid(*name, "frame")
            own.add_new(_PIXEL_DATA, "OW", image.astype("<u2").tobytes())
        else:
            own.add_new(_PIXEL_DATA, "OB", image.tobytes())
        return str(uid), write.file_bytes(own, SYNTAX, self.shared)

    def _shared(self) -> Dataset:
        """Make an object with all that the images have in common."""
        shared = write.new_object(self.modality)
        write.set_attributes(
            shared,
            {
                "SyntheticData": "YES",
                "ImageType": IMAGE_TYPES[self.modality],
                "DerivationDescription": STATEMENT,
                "PatientComments": STATEMENT,
                "StudyDescription": "SYNTHETIC",
                "SeriesDescription": f"SYNTHETIC {self.info.policy['generated_by']}",
                "Manufacturer": "SynthCohort",
                "ManufacturerModelName": self.info.policy["generated_by"],
                "SoftwareVersions": __version__,
            },
        )
        # Which part of the body the images stand for is not known here; nor, then, whether it is one of a pair.
        write.set_attributes(shared, NO_BODY_PART[self.modality])
        if self.modality == "CT":
            self._describe_ct(shared)
        else:
            self._describe_radiograph(shared)
        return shared

    def _describe_ct(self, shared: Dataset) -> None:
        low, high = self.info.windows[0]
        side, pixel = self.info.resolution, write.decimal_string(self.spacing)
        corner = write.decimal_string(-(side - 1) / 2 * self.spacing)
        write.set_pixels(shared, np.zeros((side, side), np.uint16), CT_BITS)
        del shared.PixelData
        shared.PixelSpacing = [pixel, pixel]
        shared.ImagePositionPatient = [corner, corner, "0"]
        write.set_rescale(shared, (high - low) / WHITE, low, "HU")
        write.set_windows(shared, [write.window_of(low, high, exact=True)], exact=True)

    def _describe_radiograph(self, shared: Dataset) -> None:
        pixel = write.decimal_string(self.spacing)
        shared.Rows = shared.Columns = self.info.resolution
        shared.BitsAllocated = shared.BitsStored = GREY_BITS
        shared.HighBit = GREY_BITS - 1
        shared.ImagerPixelSpacing = [pixel, pixel]
        write.set_windows(shared, [write.window_of(0, WHITE)])
        if self.modality == "DX":
            view = Dataset()
            view.CodeValue, view.CodeMeaning = FRONTAL
            view.CodingSchemeDesignator = "SCT"
            view.ViewModifierCodeSequence = []
            shared.ViewCodeSequence = [view]


def findings_text(labels: Mapping[str, float]) -> str:
    """Write labels as JSON: ``{"findings": {"edema": 1, "fracture": 0}}``; unknown ones are null."""
    values = {name: None if pd.isna(value) else int(value) for name, value in labels.items()}
    return json.dumps({"findings": values}, ensure_ascii=False)
