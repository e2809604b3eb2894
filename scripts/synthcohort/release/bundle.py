"""The bundle: a folder that a colleague elsewhere can use in a PACS or in Python."""

import hashlib
import io
import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pandas as pd
from numpy.typing import NDArray
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from synthcohort.core.atomic import read_json, write_text
from synthcohort.core.errors import UserError
from synthcohort.core.progress import track
from synthcohort.release.card import write_card
from synthcohort.release.croissant import croissant_record
from synthcohort.release.gate import pass_gate
from synthcohort.release.objects import STATEMENT, ObjectWriter, choose_modality
from synthcohort.release.subject import Subject

MANIFEST = "manifest-sha256.txt"
CARD, RECORD, LABELS = "README.md", "croissant.json", "data/labels.csv"
PARTS = (MANIFEST, CARD, RECORD, "data", "generator")
TEXTS = ["image_id", "patient_id", "part", "sop_instance_uid", "dicom", "png"]
"""Columns of labels.csv before the findings; ``dicom`` and ``png`` are file names in the folders of these names."""
WEIGHTS = "generator.safetensors"
ARCHITECTURE = ("family", "architecture", "findings", "resolution", "channels", "kimg", "privacy", "label_histogram")
"""What of generator.json goes with the weights: what it takes to draw images; of the training, what it guarantees."""


class Bundle:
    """A folder that is filled file by file, and closed by the list of all digests.

    Parameters
    ----------
    folder : Path
        Where, already cleared.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.digests: dict[str, str] = {}

    def write(self, path: str, content: bytes) -> None:
        """Write one file; `path` is below the folder."""
        target = self.folder / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(content)
        self.digests[path] = hashlib.sha256(content).hexdigest()

    def close(self) -> None:
        """Write the manifest, last: a folder without it is not finished. ``sha256sum --check`` reads it."""
        lines = [f"{digest}  {path}\n" for path, digest in sorted(self.digests.items())]
        write_text(self.folder / MANIFEST, "".join(lines))


def clear(folder: str | Path) -> None:
    """Remove a bundle, the manifest first, and nothing else that lies in its folder."""
    for name in PARTS:
        path = Path(folder) / name
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)


def build_bundle(folder: str | Path, subject: Subject, generator: str | Path, seed: int) -> None:
    """Build a bundle, if the gate lets it pass.

    Same arguments, same bytes. It is made of the synthetic stores and of rows of metrics.parquet: no image of a patient
    is at hand here.

    Parameters
    ----------
    folder : str or Path
        Receives ``README.md``, ``croissant.json``, ``data/`` with ``labels.csv``, ``dicom/``, ``png/`` and, for each
        further window, ``png-window-2/`` and so on; ``generator/`` where `release.weights` asks for it; and last
        ``manifest-sha256.txt``. An earlier bundle there is removed, also when the gate fails.
    subject : Subject
        What leaves.
    generator : str or Path
        Folder with ``generator.safetensors`` and ``generator.json``, looked into only where weights are asked for.
    seed : int
        Of the UIDs.

    Raises
    ------
    UserError
        When the gate fails without an override, CT images have no Hounsfield units, or the weights are others than
        those that drew the images.
    """
    clear(folder)
    failures = pass_gate(subject)
    bundle = Bundle(Path(folder))
    if subject.release.weights:
        _weights(bundle, Path(generator), subject.info.policy["generator"])
    labels = pd.DataFrame(_images(bundle, subject, seed))
    names = subject.info.finding_names
    table = labels.astype(dict.fromkeys(names, "Int64"))[[*TEXTS, *names]]
    bundle.write(LABELS, table.to_csv(index=False, lineterminator="\n").encode())
    record = croissant_record(subject, TEXTS, bundle.digests, failures)
    bundle.write(RECORD, (json.dumps(record, indent=2, ensure_ascii=False) + "\n").encode())
    bundle.write(CARD, write_card(subject, failures).encode())
    bundle.close()


def _images(bundle: Bundle, subject: Subject, seed: int) -> Iterator[dict[str, Any]]:
    """Write every image in every form; yield its row of the label table."""
    modality, view = choose_modality(subject.source.ingest), subject.release.field_of_view
    writers = {part: ObjectWriter(store.info, modality, seed, view) for part, store in subject.parts.items()}
    # A PACS takes equal patient IDs for one patient: those of another bundle must differ, as UIDs do.
    bundle_id = hashlib.sha256(repr([writer.key for writer in writers.values()]).encode()).hexdigest()[:8]
    number = 0
    for part, store in subject.parts.items():
        rows = zip(store.images, store.records.to_dict("records"), strict=True)
        for image, record in track(rows, f"{subject.release.cohort}: writing {part} images", len(store), "images"):
            number += 1
            record["patient_id"] = f"{bundle_id}-{record['patient_id']}"
            uid, content = writers[part].write(number, image[0], record)
            name = record["image_id"]
            bundle.write(f"data/dicom/{name}.dcm", content)
            for channel, plane in enumerate(image, start=1):
                place = "png" if channel == 1 else f"png-window-{channel}"
                bundle.write(f"data/{place}/{name}.png", png_bytes(plane))
            findings = {finding: record[finding] for finding in store.info.finding_names}
            names = {"image_id": name, "patient_id": record["patient_id"], "part": part, "sop_instance_uid": uid}
            yield {**names, "dicom": f"{name}.dcm", "png": f"{name}.png", **findings}


def png_bytes(plane: NDArray[Any]) -> bytes:
    """Encode uint8 ``[H, W]`` as a greyscale PNG that says what it is."""
    comment, buffer = PngInfo(), io.BytesIO()
    comment.add_text("Comment", STATEMENT)
    Image.fromarray(plane).save(buffer, "PNG", pnginfo=comment)
    return buffer.getvalue()


def _weights(bundle: Bundle, generator: Path, digest: str) -> None:
    weights = (generator / WEIGHTS).read_bytes()
    if hashlib.sha256(weights).hexdigest() != digest:
        raise UserError(
            f"release: {WEIGHTS} is not what drew the images; sample again, or set release.weights to false."
        )
    card = read_json(generator / "generator.json")
    kept = {key: card[key] for key in ARCHITECTURE if key in card}
    bundle.write("generator/generator.json", (json.dumps(kept, indent=2) + "\n").encode())
    bundle.write(f"generator/{WEIGHTS}", weights)
