"""Draw an embedded cohort: simulated patients in real DICOM files, with labels, lesion masks and the ground truth."""

import hashlib
import importlib
import io
import math
import shutil
from collections.abc import Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass
from importlib.metadata import version
from multiprocessing import get_context
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from PIL import Image
from pydicom import Dataset

from synthcohort.core import versions
from synthcohort.core.atomic import file_digest, read_json, value_digest, write_csv, write_json, write_parquet
from synthcohort.core.cohort_config import Phantom
from synthcohort.core.progress import track
from synthcohort.dicom import write
from synthcohort.phantoms.faults import KEEPING_UID, WITHOUT_UID, assign_faults, spoil
from synthcohort.phantoms.identity import STATEMENT, Identity, set_image
from synthcohort.phantoms.variety import choose_storage, store_pixels

CHUNK_IMAGES = 64
PARTS = ".parts"
OUTPUTS = ("manifest.json", "truth.parquet", "labels.csv", "findings.json", "dicom", "masks", PARTS)
SUFFIXES = {"text_file": ".txt", "png_file": ".png"}


def draw_cohort(phantom: Phantom, name: str, folder: str | Path, processes: int = 1) -> None:
    """Draw a cohort and write it as DICOM.

    The same arguments give the same bytes, however many processes draw. A drawing that was killed goes on where it
    stopped; one that was made with other arguments is removed first.

    Parameters
    ----------
    phantom : Phantom
        What to draw.
    name : str
        Name of the cohort; part of what the UIDs derive from.
    folder : str or Path
        Receives ``dicom/``, ``masks/{SOPInstanceUID}.png`` (16-bit, bit k is finding k, where there is a lesion),
        ``labels.csv``, ``findings.json``, ``truth.parquet`` (one row per file) and, last, ``manifest.json``.
    processes : int
        Number of processes. More than one are spawned, so the main script needs its ``__main__`` guard.
    """
    folder = Path(folder)
    anatomy = _anatomy(phantom)
    parameters = {"cohort": name, "phantom": phantom.model_dump(mode="json"), "version": versions.DRAW}
    _prepare(folder, parameters)

    plan = anatomy.plan_images(phantom.patients, phantom.seed, phantom.minimum_prevalence).reset_index(drop=True)
    faults = assign_faults(phantom.anatomy, len(plan), phantom.unfit_share, phantom.seed)
    chunks = [
        Chunk(number, phantom, name, folder, rows, {row: faults[row] for row in rows.index if row in faults})
        for number, rows in enumerate(_split_by_patient(plan))
    ]
    for _ in track(_each_image(chunks, processes), f"{name}: drawing", len(plan), "images"):
        pass
    findings = [finding.model_dump() for finding in anatomy.FINDINGS]
    _finish(folder, parameters, findings, pd.concat([pd.read_parquet(chunk.part) for chunk in chunks]))


def _anatomy(phantom: Phantom) -> ModuleType:
    """Import the package that draws: it has FINDINGS, plan_images and draw_images."""
    return importlib.import_module(f"synthcohort.phantoms.{phantom.anatomy}")


def _prepare(folder: Path, parameters: dict[str, Any]) -> None:
    """Keep what an interrupted drawing with the same parameters left; remove everything else."""
    begun = folder / PARTS / "parameters.json"
    if not begun.is_file() or read_json(begun) != parameters:
        for name in OUTPUTS:
            path = folder / name
            if path.is_dir():
                shutil.rmtree(path)
            else:
                path.unlink(missing_ok=True)
        write_json(begun, parameters)
    (folder / "masks").mkdir(exist_ok=True)


def _split_by_patient(plan: pd.DataFrame) -> Iterator[pd.DataFrame]:
    """Cut the plan into runs of whole patients of about `CHUNK_IMAGES` images each."""
    sizes = plan.groupby("patient", sort=False).size()
    chunk_of_patient = pd.Series(sizes.cumsum().sub(1) // CHUNK_IMAGES, sizes.index)
    for _, rows in plan.groupby(plan["patient"].map(chunk_of_patient), sort=False):
        yield rows


def _each_image(chunks: "list[Chunk]", processes: int) -> Iterator[int]:
    """Draw every chunk; yield once per image, when it is on disk."""
    if processes == 1:
        yield from _count(map(Chunk.draw, chunks))
        return
    with ProcessPoolExecutor(processes, get_context("spawn")) as pool:
        yield from _count(pool.map(Chunk.draw, chunks))


def _count(sizes: Iterable[int]) -> Iterator[int]:
    for size in sizes:
        yield from range(size)


@dataclass
class Chunk:
    """Some patients to draw in one go: the unit of work, and of what survives an interruption."""

    number: int
    phantom: Phantom
    cohort: str
    folder: Path
    rows: pd.DataFrame
    faults: dict[int, str]

    @property
    def part(self) -> Path:
        """Table of the files that were written; there only once all of them are."""
        return self.folder / PARTS / f"{self.number:06d}.parquet"

    def draw(self) -> int:
        """Draw and write all images; return how many."""
        if not self.part.is_file():
            write_parquet(self.part, pd.DataFrame(self._records()))
        return len(self.rows)

    def _records(self) -> Iterator[dict[str, Any]]:
        """Write every file; yield its row of the ground truth."""
        drawing = _anatomy(self.phantom).draw_images(self.rows, self.phantom.side, self.phantom.seed)
        records: list[dict[str, Any]] = [
            dict(zip(self.rows.columns, values, strict=True)) for values in self.rows.itertuples(index=False, name=None)
        ]
        people: dict[int, Identity] = {}
        studies: dict[tuple[int, int, str], Study] = {}
        for place, (number, row) in enumerate(zip(self.rows.index, records, strict=True)):
            patient = int(row["patient"])
            key = (patient, int(row["study"]), str(row.get("view", "")))
            if patient not in people:
                people[patient] = Identity(self.cohort, self.phantom.anatomy, self.phantom.seed, row)
            if key not in studies:
                studies[key] = Study(self.phantom, people[patient], *key[1:])
                (self.folder / "dicom" / studies[key].folder).mkdir(parents=True, exist_ok=True)
            study = studies[key]
            spacing = float(drawing.spacing[place])
            image = study.make(row, drawing.images[place], drawing.masks[place], spacing)
            if number in self.faults:
                yield self._write(study, image, f"IX{number:06d}", self.faults[number])
            yield self._write(study, image, f"IM{int(row['instance']):06d}", "")

    def _write(self, study: "Study", image: "Written", name: str, fault: str) -> dict[str, Any]:
        """Write one file, good or unfit, and the mask of a good one; return its row of the ground truth."""
        uid = str(image.dataset.SOPInstanceUID)
        if fault:
            if fault not in KEEPING_UID:
                uid = "" if fault in WITHOUT_UID else str(write.make_uid(uid, fault))
            dataset = write.copy_object(study.shared)
            dataset.update(write.copy_object(image.dataset))
            dataset.SOPInstanceUID = uid or dataset.SOPInstanceUID
            content = spoil(dataset, fault)
        else:
            content = write.dicom_bytes(image.dataset, study.storage.syntax, study.shared_bytes)
        path = Path(study.folder, name + SUFFIXES.get(fault, ".dcm"))
        (self.folder / "dicom" / path).write_bytes(content)
        mask_digest = ""
        if not fault and image.mask.any():
            mask_digest = _write_mask(self.folder / "masks" / f"{uid}.png", image.mask)
        return {
            "path": path.as_posix(),
            "sop_instance_uid": uid,
            "fault": fault,
            "sha256": hashlib.sha256(content).hexdigest(),
            "mask_sha256": mask_digest,
            **image.details,
        }


@dataclass
class Written:
    """What an image's object has of its own, pixels native, its lesions in the same matrix, and how it was made."""

    dataset: Dataset
    mask: NDArray[np.uint16]
    details: dict[str, Any]


class Study:
    """One study of one patient: how it is stored, and what the objects of its images share."""

    def __init__(self, phantom: Phantom, identity: Identity, number: int, view: str) -> None:
        self.identity = identity
        self.number = number
        self.storage = choose_storage(phantom.anatomy, view, phantom.side, identity.study_seed(number))
        self.folder = f"{identity.folder}/{identity.day(number):%Y%m%d}_{self.storage.modality}_{number}"
        self.shared = identity.study_object(number, view, self.storage)
        self.shared_bytes = write.element_bytes(self.shared, self.storage.syntax)

    def make(
        self, row: dict[str, Any], image: NDArray[np.float32], mask: NDArray[np.uint16], spacing: float
    ) -> Written:
        """Turn a drawn image (see `store_pixels`) with its row of the plan into an object."""
        stored, framed, offset = store_pixels(image, mask, self.storage)
        dataset = Dataset()
        dataset.SOPClassUID, dataset.Modality = self.shared.SOPClassUID, self.shared.Modality
        uid = write.make_uid(*self.identity.key, self.number, row["instance"], "image")
        set_image(dataset, row, spacing, image.shape, offset, uid)
        write.set_pixels(dataset, stored, self.storage.bits, self.storage.photometric, self.storage.padding)
        storage = asdict(self.storage)
        del storage["margins"]
        storage["padding"] = math.nan if self.storage.padding is None else float(self.storage.padding)
        shape = {"rows": stored.shape[0], "columns": stored.shape[1], "top": offset[0], "left": offset[1]}
        return Written(dataset, framed, {"patient_id": self.identity.patient_id, **storage, **shape, **row})


def _write_mask(path: Path, mask: NDArray[np.uint16]) -> str:
    """Write a lesion mask as a 16-bit PNG; return the digest of its bytes."""
    buffer = io.BytesIO()
    Image.fromarray(mask).save(buffer, "PNG", compress_level=1)
    path.write_bytes(buffer.getvalue())
    return hashlib.sha256(buffer.getvalue()).hexdigest()


def _finish(folder: Path, parameters: dict[str, Any], findings: list[dict[str, str]], truth: pd.DataFrame) -> None:
    """Write the tables, and the manifest last."""
    truth = truth.sort_values("path", ignore_index=True)
    labelled = truth[(truth["sop_instance_uid"] != "") & ~truth["fault"].isin(["unlabelled", *KEEPING_UID])]
    write_parquet(folder / "truth.parquet", truth)
    write_csv(folder / "labels.csv", labelled[["sop_instance_uid", *(finding["name"] for finding in findings)]])
    write_json(folder / "findings.json", findings)
    listing = "".join(f"{row.path} {row.sha256} {row.mask_sha256}\n" for row in truth.itertuples())
    shutil.rmtree(folder / PARTS)
    manifest = {
        "statement": STATEMENT,
        "parameters": parameters,
        "parameters_digest": value_digest(parameters),
        "patients": int(truth["patient_id"].nunique()),
        "files": len(truth),
        "images": int((truth["fault"] == "").sum()),
        "masks": int((truth["mask_sha256"] != "").sum()),
        "faults": {fault: int(count) for fault, count in truth["fault"].value_counts().sort_index().items() if fault},
        "files_digest": hashlib.sha256(listing.encode()).hexdigest(),
        "labels_digest": file_digest(folder / "labels.csv"),
        "truth_digest": file_digest(folder / "truth.parquet"),
        "versions": {name: version(name) for name in ("numpy", "pillow", "pydicom", "python-gdcm")},
    }
    write_json(folder / "manifest.json", manifest)
