"""How fast DICOM files become an image store, beside the bare reading rate of the same run.

Seconds are processor time of this one process, so that a busy machine does not spoil them; the files come from the
page cache. Writes docs/evidence/ingest.csv. Five minutes; run it alone: ``OMP_NUM_THREADS=1 python
bench/bench_ingest.py``.
"""

import argparse
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from pydicom import Dataset, dcmread
from pydicom.dataset import FileMetaDataset
from pydicom.encaps import encapsulate
from pydicom.uid import CTImageStorage, generate_uid

from synthcohort.core.atomic import write_csv
from synthcohort.core.cohort_config import Ingest
from synthcohort.dicom.encode import ENCAPSULATED, TRANSFER_SYNTAXES, compress
from synthcohort.dicom.index import index_folder
from synthcohort.dicom.merge import merge_shards
from synthcohort.dicom.preprocess import Shard, preprocess_shard

EVIDENCE = Path(__file__).resolve().parents[1] / "docs/evidence/ingest.csv"


def write_slices(folder: Path, count: int, side: int, elements: int, first: int = 0, syntax: str = "explicit") -> None:
    """Write 16-bit CT slices, ten per patient, with as many header elements as scanners write."""
    y, x = np.mgrid[:side, :side] / side - 0.5
    body = np.where(np.hypot(x, y) < 0.4, 1064, 24)
    generator = np.random.default_rng(first)
    dataset = Dataset()
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = TRANSFER_SYNTAXES[syntax]
    dataset.SOPClassUID = dataset.file_meta.MediaStorageSOPClassUID = CTImageStorage
    dataset.Modality, dataset.ImageType = "CT", ["ORIGINAL", "PRIMARY", "AXIAL"]
    dataset.StudyInstanceUID = generate_uid(entropy_srcs=["study"])
    dataset.SamplesPerPixel, dataset.PhotometricInterpretation = 1, "MONOCHROME2"
    dataset.Rows = dataset.Columns = side
    dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit, dataset.PixelRepresentation = 16, 16, 15, 0
    dataset.RescaleSlope, dataset.RescaleIntercept, dataset.PixelSpacing = "1", "-1024", [0.5, 0.5]
    block = dataset.private_block(0x0019, "BENCH", create=True)
    for number in range(max(0, elements - len(dataset) - 4)):
        block.add_new(number, "DS", "1.25")
    folder.mkdir()
    for number in range(first, first + count):
        dataset.PatientID = f"P{number // 10}"
        dataset.SOPInstanceUID = generate_uid(entropy_srcs=["slice", str(number)])
        dataset.file_meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID
        pixels = (body + generator.integers(-20, 20, body.shape)).astype("<u2")
        if syntax in ENCAPSULATED:
            dataset.add_new(0x7FE00010, "OB", encapsulate([compress(pixels, 16, "MONOCHROME2", syntax)]))
            dataset["PixelData"].is_undefined_length = True
        else:
            dataset.add_new(0x7FE00010, "OW", pixels.tobytes())
        dataset.save_as(folder / f"{number:05d}.dcm", enforce_file_format=True)


def rate(count: int, work: Callable[[], object]) -> float:
    """Files per second of processor time."""
    start = time.process_time()
    work()
    return count / (time.process_time() - start)


def main() -> None:
    """Write the files, measure, print one table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=1000, help="number of slices")
    parser.add_argument("--side", type=int, default=512, help="side of a slice in pixels")
    parser.add_argument("--resolution", type=int, default=128, help="side of the store's images")
    parser.add_argument("--rounds", type=int, default=3, help="the best of so many rounds counts")
    parser.add_argument("--elements", type=int, nargs="+", default=[25, 100, 260], help="header elements per file")
    parser.add_argument("--syntaxes", nargs="+", default=["explicit", *ENCAPSULATED], help="transfer syntaxes")
    options = parser.parse_args()
    rows = [
        _measure(syntax, elements, options)
        for syntax in options.syntaxes
        for elements in (options.elements if syntax == "explicit" else options.elements[:1])
    ]
    table = pd.DataFrame(rows)
    print(f"{options.side}² CT slices to a {options.resolution}² store, files per second of one core")
    print(table.to_string(index=False))
    write_csv(EVIDENCE, table)


def _measure(syntax: str, elements: int, options: argparse.Namespace) -> dict[str, Any]:
    """Give one row: the best of several rounds for each step, so that a busy neighbour counts for little."""
    best: dict[str, float] = {}
    with tempfile.TemporaryDirectory() as name:
        work = Path(name)
        write_slices(work / "in", options.count, options.side, elements, syntax=syntax)
        files = sorted((work / "in").iterdir())
        for number in range(options.rounds):
            for step, work_of_step in _steps(files, work / str(number), options.resolution).items():
                best[step] = max(best.get(step, 0.0), rate(options.count, work_of_step))
    total = 1 / sum(1 / best[step] for step in ("index", "preprocess", "merge"))
    ratio = total / best["bare"]
    said = {step: round(best[step]) for step in ("bare", "index", "preprocess", "merge")}
    return {
        "syntax": syntax,
        "elements": elements,
        "files": options.count,
        **said,
        "files to store": round(total),
        "ratio": round(ratio, 2),
        "target": _target(syntax),
        "rerun": round(best["rerun"]),
    }


def _target(syntax: str) -> float:
    return 0.8 if syntax in ENCAPSULATED else 0.6


def _steps(files: list[Path], work: Path, resolution: int) -> dict[str, Callable[[], object]]:
    """Each step of ingest in a fresh folder, and the bare reading rate to compare with."""
    labels = pd.DataFrame({"file": [path.name for path in files], "finding": np.arange(len(files)) % 2})
    ingest, private, folder = Ingest(shards=1), work / "private", files[0].parent
    state: dict[str, Any] = {}

    def index() -> None:
        state["index"] = index_folder(folder, labels, "file", [], ingest, resolution, private, seed=1)

    def preprocess() -> None:
        shard = Shard("bench", True, folder, private, ingest, [resolution], state["index"].findings)
        preprocess_shard(shard, 0, state["index"].parts(), work / "shard")

    def merge() -> None:
        merge_shards(
            state["index"].parts(), [work / "shard"], work / "store", work / "index.parquet", [resolution], 0.0
        )

    def bare() -> None:
        for path in files:
            dcmread(path).pixel_array  # noqa: B018

    return {"bare": bare, "index": index, "preprocess": preprocess, "merge": merge, "rerun": preprocess}


if __name__ == "__main__":
    main()
