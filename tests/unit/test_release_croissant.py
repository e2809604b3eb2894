"""The Croissant record: the reference implementation accepts it, and loads images and labels with it."""

import io
import json

import mlcroissant
import numpy as np
import pandas as pd
import pytest
from PIL import Image

from release_cases import BONE, BRAIN, FINDINGS, SEED, generator_folder, subject
from synthcohort.release.bundle import build_bundle
from synthcohort.release.croissant import croissant_record


@pytest.fixture
def bundle(tmp_path):
    chosen = subject(tmp_path / "stores", modality="DX")
    build_bundle(tmp_path / "bundle", chosen, tmp_path, SEED)
    return tmp_path / "bundle", chosen


def test_mlcroissant_has_nothing_to_complain_about(bundle):
    dataset = mlcroissant.Dataset(jsonld=str(bundle[0] / "croissant.json"))
    assert list(dataset.metadata.ctx.issues.errors) == []
    assert list(dataset.metadata.ctx.issues.warnings) == []
    assert dataset.metadata.license == ["CC-BY-4.0"]
    assert "No person was imaged" in dataset.metadata.description


def test_mlcroissant_would_complain(bundle):
    """Positive control: without the name of a file, or with a wrong field, the record is refused."""
    record = json.loads((bundle[0] / "croissant.json").read_text())
    del record["distribution"][0]["contentUrl"]
    with pytest.raises(mlcroissant.ValidationError):
        mlcroissant.Dataset(jsonld=record)


def test_mlcroissant_loads_images_with_their_labels(bundle):
    folder, chosen = bundle
    records = list(mlcroissant.Dataset(jsonld=str(folder / "croissant.json")).records("images"))
    assert len(records) == chosen.images
    table = pd.concat([part.records for part in chosen.parts.values()]).set_index("image_id")
    images = np.concatenate([part.images[:, 0] for part in chosen.parts.values()])
    for record in records:
        name = record["images/image_id"].decode()
        assert record["images/file_name"].decode() == f"{name}.png"
        labels = {finding: record[f"images/{finding}"] for finding in FINDINGS}
        assert labels == table.loc[name, list(FINDINGS)].to_dict()
        content = record["images/image"]
        picture = content if isinstance(content, Image.Image) else Image.open(io.BytesIO(content))
        np.testing.assert_array_equal(np.asarray(picture.convert("L")), images[table.index.get_loc(name)])


def test_the_record_says_whose_labels_the_images_have(bundle, tmp_path):
    stated = json.loads((bundle[0] / "croissant.json").read_text())["rai:personalSensitiveInformation"]
    assert "No image was taken from a patient, and no row of labels is a patient's" in stated
    copied = subject(tmp_path / "others", copied_labels=True, override="The head of the data office decided so.")
    record = croissant_record(copied, [], {"data/labels.csv": "0" * 64}, [])
    assert "each image has the labels of one patient" in record["rai:personalSensitiveInformation"]
    failed = croissant_record(bundle[1], [], {"data/labels.csv": "0" * 64}, ["the AUROC is too high"])
    assert "some may be nearly a patient's" in failed["rai:personalSensitiveInformation"]


def test_the_record_lists_all_that_leaves(tmp_path):
    chosen = subject(tmp_path / "stores", windows=(BRAIN, BONE), weights=True, counts=(2, 1))
    build_bundle(tmp_path / "bundle", chosen, generator_folder(tmp_path / "run"), SEED)
    dataset = mlcroissant.Dataset(jsonld=str(tmp_path / "bundle/croissant.json"))
    assert list(dataset.metadata.ctx.issues.errors) == []
    listed: set[str] = set()
    for part in json.loads((tmp_path / "bundle/croissant.json").read_text())["distribution"]:
        found = set((tmp_path / "bundle").glob(part.get("includes", part.get("contentUrl"))))
        assert found
        listed |= {path.relative_to(tmp_path / "bundle").as_posix() for path in found}
    files = {path.relative_to(tmp_path / "bundle").as_posix() for path in (tmp_path / "bundle").rglob("*.*")}
    assert files - listed == {"README.md", "croissant.json", "manifest-sha256.txt"}
