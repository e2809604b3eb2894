"""A small cohort of CT files whose every identifier is a unique, searchable word."""

from pathlib import Path

import numpy as np
import pandas as pd
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence

from synthcohort.dicom import write

SIDE = 32


def write_cohort(folder: Path, patients: int = 40, images: int = 3, secret: str = "ZQ") -> set[str]:
    """Write ``folder/dicom`` and ``folder/labels.csv``; bright patients are ``bleed`` = 1.

    Returns
    -------
    set of str
        Every identifier in the files, their names and their folders: words that must turn up nowhere.
    """
    rng = np.random.default_rng(0)
    planted: set[str] = set()
    rows = []

    def plant(kind: str, number: int) -> str:
        word = f"{secret}{kind}{number:04d}X"
        planted.add(word)
        return word

    for patient in range(patients):
        bleed = patient % 2
        home = folder / "dicom" / plant("FOLDER", patient)
        home.mkdir(parents=True)
        for image in range(images):
            number = patient * images + image
            dataset = write.new_object("CT")
            uid = write.make_uid(secret, number)
            planted.update([uid, write.make_uid(secret, "study", patient), write.make_uid(secret, "series", patient)])
            write.set_attributes(
                dataset,
                {
                    "PatientID": plant("ID", patient),
                    "PatientName": f"{plant('NAME', patient)}^GIVEN",
                    "PatientBirthDate": "19470313",
                    "AccessionNumber": plant("ACC", patient),
                    "InstitutionName": plant("INST", 0),
                    "ReferringPhysicianName": plant("DOCTOR", patient),
                    "StudyID": plant("STUDY", patient),
                    "SOPInstanceUID": uid,
                    "StudyInstanceUID": write.make_uid(secret, "study", patient),
                    "SeriesInstanceUID": write.make_uid(secret, "series", patient),
                    "PixelSpacing": ["1", "1"],
                },
            )
            private = dataset.private_block(0x0009, "PLANTED", create=True)
            private.add_new(0x01, "LO", plant("PRIVATE", patient))
            nested = Dataset()
            nested.PatientID = plant("NESTED", patient)
            dataset.OtherPatientIDsSequence = Sequence([nested])
            write.set_rescale(dataset, 1, -1024, "HU")
            pixels = rng.normal(30, 5, (SIDE, SIDE))
            pixels[10:16, 10:16] += 30 * bleed
            pixels[:3] = -1000
            write.set_pixels(dataset, (pixels + 1024).astype(np.uint16), bits_stored=12)
            content = write.file_bytes(dataset, "explicit")
            if number % 29 == 28:
                content = content[: len(content) // 2]
            path = home / f"{plant('FILE', number)}.dcm"
            path.write_bytes(content)
            rows.append({"uid": uid, "patient": f"{secret}ID{patient:04d}X", "bleed": bleed})
    (folder / "dicom" / f"{plant('NOTES', 0)}.txt").write_text(plant("TEXT", 0))
    planted.add("19470313")
    pd.DataFrame(rows).to_csv(folder / "labels.csv", index=False)
    return planted


def study_of(folder: str) -> dict:
    """Config of a study on a cohort that `write_cohort` wrote, as small as can be."""
    return {
        "study": "own",
        "seed": 1,
        "replicates": 1,
        "threads": 1,
        "device": "cpu",
        "cohorts": [
            {
                "name": "own",
                "data": {"folder": f"{folder}/dicom", "labels": f"{folder}/labels.csv", "key": "uid"},
                "ingest": {"shards": 2},
                "minimum_combination": 5,
            }
        ],
        "axes": [{"axis": "resolution", "levels": [8], "families": ["r3-gan"]}],
        "generators": [{"family": "r3-gan", "kimg": {8: 0.5}}],
        "classifier": {"network": "small", "kimg": 1, "patience": 2},
        "judge": {"network": "plain", "kimg": 1, "patience": 2},
        "statistics": {"bootstrap": 50, "confidence": 0.95, "minimum_positive_patients": 1},
    }
