"""Who the simulated patients are on paper: names, numbers, dates and devices, all invented."""

from collections.abc import Mapping
from datetime import date, timedelta
from typing import Any

import numpy as np
from pydicom import Dataset

from synthcohort.core.seeds import derive_seed
from synthcohort.dicom import write
from synthcohort.phantoms.variety import Storage, set_storage

STATEMENT = "SIMULATED PATIENT drawn by SynthCohort: not a person, not for clinical use."
FIRST_DAY = date(2015, 1, 1)


class Identity:
    """A simulated patient on paper, the same for the same drawing and number.

    Parameters
    ----------
    cohort : str
        Name of the cohort; with `anatomy` and `seed` it keeps the UIDs of different drawings apart.
    anatomy : {"head", "chest"}
    seed : int
        Seed of the drawing.
    first : mapping
        The patient's first row of the plan: `patient` (a number), `sex` (F or M) and `age` (years).
    """

    def __init__(self, cohort: str, anatomy: str, seed: int, first: Mapping[str, Any]) -> None:
        patient, age = int(first["patient"]), float(first["age"])
        self.key = (cohort, anatomy, seed, patient)
        self.seed = derive_seed(seed, "identity", cohort, anatomy, str(patient))
        rng = np.random.default_rng(self.seed)
        self.anatomy = anatomy
        self.patient_id = f"SIM-{anatomy[0].upper()}-{patient:06d}"
        self.name = f"PHANTOM^{anatomy.upper()}^{patient:06d}"
        self.sex = first["sex"]
        self.first_day = FIRST_DAY + timedelta(days=int(rng.integers(0, 2500)))
        self.birth = self.first_day - timedelta(days=int(age * 365.25) + int(rng.integers(1, 365)))

    @property
    def folder(self) -> str:
        """Name of the patient's folder; it names the patient on purpose, as folders in hospitals do."""
        return f"{self.patient_id}_{self.name.replace('^', '-')}"

    def day(self, study: int) -> date:
        """Find the day of a study; later studies lie weeks to months apart."""
        gaps = np.random.default_rng([self.seed, 1]).integers(7, 200, study)
        return self.first_day + timedelta(days=int(gaps.sum()))

    def study_seed(self, study: int) -> int:
        """Seed of all that varies from study to study."""
        return derive_seed(self.seed, "study", str(study))

    def study_object(self, study: int, view: str, storage: Storage) -> Dataset:
        """Make an object with all that the images of one study share."""
        rng = np.random.default_rng([self.study_seed(study), 1])
        day = self.day(study)
        when = f"{rng.integers(7, 20):02d}{rng.integers(60):02d}{rng.integers(60):02d}"
        today = day.strftime("%Y%m%d")
        dataset = write.new_object(storage.modality)
        attributes: dict[str, Any] = {
            **{f"{part}Date": today for part in ("Study", "Series", "Acquisition", "Content")},
            **{f"{part}Time": when for part in ("Study", "Series", "Acquisition", "Content")},
            "StudyInstanceUID": write.make_uid(*self.key, study),
            "SeriesInstanceUID": write.make_uid(*self.key, study, "series"),
            "AccessionNumber": f"SIM{self.study_seed(study) % 10**10:010d}",
            "StudyID": str(study),
            "StudyDescription": f"SIMULATED {'CT HEAD' if self.anatomy == 'head' else 'CHEST RADIOGRAPH'}",
            "PatientName": self.name,
            "PatientID": self.patient_id,
            "PatientBirthDate": self.birth.strftime("%Y%m%d"),
            "PatientSex": self.sex,
            "PatientAge": f"{int((day - self.birth).days / 365.25):03d}Y",
            "PatientComments": STATEMENT,
            "ReferringPhysicianName": f"SIMULATED^DOCTOR {rng.integers(40):02d}",
            "InstitutionName": "SIMULATED HOSPITAL",
            "StationName": f"SIM{rng.integers(9)}",
            "Manufacturer": "SynthCohort phantom",
            "DeviceSerialNumber": f"{rng.integers(1000):04d}",
            "SoftwareVersions": "1",
            "ImageComments": STATEMENT,
        }
        details = _ct_details if storage.modality == "CT" else _radiograph_details
        write.set_attributes(dataset, {**attributes, **details(rng)})
        if storage.modality == "CT":
            dataset.FrameOfReferenceUID = write.make_uid(*self.key, study, "frame")
        else:
            write.set_view(dataset, view)
        set_storage(dataset, storage)
        return dataset


def _ct_details(rng: np.random.Generator) -> dict[str, Any]:
    return {
        "ManufacturerModelName": str(rng.choice(["Head CT A", "Head CT B", "Head CT C"])),
        "SeriesDescription": "SIMULATED HEAD",
        "BodyPartExamined": "HEAD",
        "KVP": str(rng.choice([100, 120, 120, 120, 140])),
        "XRayTubeCurrent": str(rng.integers(150, 400)),
        "ConvolutionKernel": str(rng.choice(["H30S", "H40S", "BRAIN"])),
    }


def _radiograph_details(rng: np.random.Generator) -> dict[str, Any]:
    return {
        "ManufacturerModelName": str(rng.choice(["Chest unit A", "Chest unit B", "Mobile unit C"])),
        "SeriesDescription": "SIMULATED CHEST FRONTAL",
        "KVP": str(rng.choice([85, 110, 125])),
        "ExposureInuAs": str(rng.integers(1000, 5000)),
        "DistanceSourceToDetector": str(rng.choice([1200, 1500, 1800])),
    }


def set_image(
    dataset: Dataset, row: Mapping[str, Any], spacing: float, shape: tuple[int, int], offset: tuple[int, int], uid: str
) -> None:
    """Write into a copy of the study's object what belongs to one image.

    Parameters
    ----------
    dataset : pydicom.Dataset
        The object.
    row : mapping
        The image's row of the plan.
    spacing : float
        Side of a pixel in millimetres.
    shape, offset : tuple of int
        Rows and columns drawn, and added (or, negative, cut off) at top and left.
    uid : str
        The image's SOP instance UID.
    """
    dataset.SOPInstanceUID = uid
    dataset.InstanceNumber = str(int(row["instance"]))
    pixel = write.decimal_string(spacing)
    if dataset.Modality != "CT":
        dataset.ImagerPixelSpacing = [pixel, pixel]
        return
    top, left = (-((size - 1) / 2 + added) * spacing for size, added in zip(shape, offset, strict=True))
    height = write.decimal_string(row["slice_position_mm"])
    dataset.PixelSpacing = [pixel, pixel]
    dataset.ImagePositionPatient = [write.decimal_string(left), write.decimal_string(top), height]
    dataset.SliceThickness = write.decimal_string(row["thickness_mm"])
    dataset.SliceLocation = height
