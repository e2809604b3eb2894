"""The bundle: a synthetic cohort is a cohort, and nothing else leaves with it."""

import base64
import re
import subprocess
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml
from PIL import Image
from planted import write_cohort

from release_cases import (
    BONE,
    BRAIN,
    FINDINGS,
    GENERATOR,
    LUNG,
    SEED,
    change,
    figure,
    generator_folder,
    metrics,
    release,
    subject,
    synthetic_store,
)
from synthcohort.cohort.datasets.registry import read_dataset
from synthcohort.cohort.labels import mark_normal, names_with_normal
from synthcohort.core.atomic import file_digest, write_json
from synthcohort.core.cohort_config import Cohort
from synthcohort.core.config import Statistics
from synthcohort.core.errors import UserError
from synthcohort.core.store import Finding, ImageStore
from synthcohort.dicom.index import index_folder
from synthcohort.dicom.merge import merge_shards
from synthcohort.dicom.preprocess import Shard, preprocess_shard
from synthcohort.release.bundle import build_bundle
from synthcohort.release.card import own_data
from synthcohort.release.subject import SourceCohort, Subject

REASON = "The head of the data office decided so on 2026-01-02."
FAILING = change(metrics(), "closest_record/image", ci_high=0.7)


def built(tmp_path: Path, **settings) -> tuple[Path, Subject]:
    """Build a bundle beside a generator's folder."""
    chosen = subject(tmp_path / "stores", **settings)
    build_bundle(tmp_path / "bundle", chosen, generator_folder(tmp_path / "run"), SEED)
    return tmp_path / "bundle", chosen


def contents(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def ingest(cohort: Cohort, work: Path, side: int) -> tuple[pd.DataFrame, ImageStore]:
    """Read a cohort as the scripts of the rules do; the index has each file's name."""
    assert cohort.data is not None
    labels, private = read_dataset(cohort.data), work / "private"
    index = index_folder(
        cohort.data.folder, labels.table, labels.key, cohort.findings, cohort.ingest, side, private, 1,
        columns=labels.columns,
    )  # fmt: skip
    names = names_with_normal(index.parts(), [finding.name for finding in index.findings])
    table = mark_normal(index.table, names)
    findings = [Finding(name=name, display=name) for name in names]
    shard = Shard("test", False, Path(cohort.data.folder), private, cohort.ingest, [side], findings)
    folders = [work / f"shard-{number}" for number in range(cohort.ingest.shards)]
    for number, folder in enumerate(folders):
        preprocess_shard(shard, number, [table], folder)
    merge_shards([table], folders, work / "store", work / "index.parquet", [side], 1.0)
    paths = pd.read_parquet(private / "files.parquet")[["file_id", "path", "patient_id"]]
    merged = pd.read_parquet(work / "index.parquet").merge(
        paths.rename(columns={"patient_id": "original"}), on="file_id"
    )
    return merged, ImageStore(work / "store" / f"{side:03d}")


def check_same(table: pd.DataFrame, store: ImageStore, chosen: Subject) -> None:
    """Compare an ingested bundle with the stores that it was built from: pixels, labels, patients."""
    assert table["reason"].tolist() == [""] * chosen.images
    records = pd.concat([part.records for part in chosen.parts.values()], ignore_index=True)
    images = np.concatenate([part.images[:, :1] for part in chosen.parts.values()])
    names = table.set_index("file_id")["path"].loc[store.records["image_id"]].map(lambda path: Path(path).stem)
    rows = pd.Index(records["image_id"]).get_indexer(names)
    assert sorted(rows) == list(range(chosen.images))
    np.testing.assert_array_equal(store.images, images[rows])
    np.testing.assert_array_equal(store.labels, records[list(FINDINGS)].to_numpy(np.float32)[rows])
    assert store.records["patient_id"].nunique() == chosen.images
    assert {name.split("-", 1)[1] for name in table["original"]} == set(records["patient_id"])


@pytest.mark.parametrize(
    ("modality", "windows"),
    [("CT", (BRAIN, BONE)), ("CT", (BONE,)), ("CT", (LUNG,)), ("DX", ()), ("CR", ())],
)
@pytest.mark.parametrize("side", [16, 64])
def test_ingest_gives_back_the_same_pixels_and_labels(modality, windows, side, tmp_path, monkeypatch):
    bundle, chosen = built(tmp_path, modality=modality, windows=windows, side=side)
    # As the card says: in the folder of the bundle, with the lines that it shows.
    shown = re.search(r"```yaml\n(.*?)```", (bundle / "README.md").read_text(), re.DOTALL)
    assert shown is not None
    assert shown[1] == own_data(chosen)
    monkeypatch.chdir(bundle)
    (cohort,) = yaml.safe_load(shown[1])["cohorts"]
    table, store = ingest(Cohort.model_validate(cohort), tmp_path / "work", side)
    check_same(table, store, chosen)
    assert set(table["modality"]) == {modality}
    if modality == "CT":
        assert store.info.windows == chosen.info.windows[:1]
    else:
        assert set(table["windowed"]) == {"window"}


def test_pictures_are_a_cohort_too(tmp_path, monkeypatch):
    bundle, chosen = built(tmp_path, modality="DX")
    monkeypatch.chdir(bundle)
    data = {"folder": "data/png", "labels": "data/labels.csv", "key": "png", "patient": "patient_id"}
    settings = {"name": "synthetic", "data": data, "findings": list(FINDINGS), "ingest": {"modalities": ["DX"]}}
    table, store = ingest(Cohort.model_validate(settings), tmp_path / "work", 16)
    check_same(table, store, chosen)


def test_every_window_is_there_as_png(tmp_path):
    bundle, chosen = built(tmp_path, windows=(BRAIN, BONE))
    for part in chosen.parts.values():
        for image, name in zip(part.images, part.records["image_id"], strict=True):
            for folder, plane in (("png", image[0]), ("png-window-2", image[1])):
                with Image.open(bundle / "data" / folder / f"{name}.png") as picture:
                    assert picture.mode == "L"
                    assert "SYNTHETIC IMAGE" in picture.info["Comment"]
                    np.testing.assert_array_equal(np.asarray(picture), plane)


def test_sha256sum_agrees_about_every_file(tmp_path):
    bundle, _ = built(tmp_path, weights=True)
    listed = {line.split("  ")[1] for line in (bundle / "manifest-sha256.txt").read_text().splitlines()}
    assert listed == set(contents(bundle)) - {"manifest-sha256.txt"}
    command = ["sha256sum", "--check", "--strict", "--quiet", "manifest-sha256.txt"]
    assert subprocess.run(command, cwd=bundle, capture_output=True).returncode == 0
    (bundle / "data/labels.csv").write_text("changed")
    assert subprocess.run(command, cwd=bundle, capture_output=True).returncode == 1


@pytest.mark.parametrize("weights", [False, True])
def test_nothing_else_leaves(weights, tmp_path):
    bundle, chosen = built(tmp_path, weights=weights)
    names = [name for part in chosen.parts.values() for name in part.records["image_id"]]
    expected = {"README.md", "croissant.json", "manifest-sha256.txt", "data/labels.csv"}
    expected |= {f"data/{kind}/{name}{end}" for name in names for kind, end in (("dicom", ".dcm"), ("png", ".png"))}
    files = contents(bundle)
    if weights:
        expected |= {"generator/generator.safetensors", "generator/generator.json"}
    assert set(files) == expected
    everything = b"".join(files.values())
    assert b"PLANTED" not in everything  # what generator.json says of the training
    assert b"weights of discriminator" not in everything
    assert b"weights of unaveraged" not in everything
    assert (b"weights of generator" in everything) == weights


def test_no_identifier_of_a_patient_leaves(tmp_path):
    """A cohort whose every identifier can be searched for; its images are rendered, a synthetic store is made alike."""
    planted = write_cohort(tmp_path / "in", patients=10, images=2)
    data = {"folder": str(tmp_path / "in/dicom"), "labels": str(tmp_path / "in/labels.csv"), "key": "uid"}
    cohort = Cohort.model_validate({"name": "clinic", "data": data, "findings": ["bleed"]})
    table, real = ingest(cohort, tmp_path / "work", 16)
    sides = ["train", "valid", "test"]
    selection = pd.DataFrame({"row": real.all_rows, "patient_id": real.records["patient_id"], "side": "train"})
    selection.assign(combination=0).to_parquet(tmp_path / "selection.parquet")
    source = SourceCohort.read(
        cohort.ingest, {"dataset": "generic"}, real.folder / "store.json", tmp_path / "selection.parquet"
    )
    assert source.sizes == {"train": (len(real), 10), "valid": (0, 0), "test": (0, 0)}
    parts = {
        part: synthetic_store(tmp_path / part, "CT", 16, 3, first, like=real.info)
        for part, first in zip(sides[:2], (1, 4), strict=True)
    }
    chosen = Subject(release(), source, parts, GENERATOR, metrics(), Statistics(), False, 0)
    build_bundle(tmp_path / "bundle", chosen, tmp_path, SEED)
    everything = b"".join(contents(tmp_path / "bundle").values())
    hidden = {*planted, *real.records["patient_id"], *table["file_id"], str(tmp_path), "ZQ"}
    assert len(hidden) > 100
    for word in hidden:
        for coded in (word.encode(), word.encode("utf-16-le"), base64.b64encode(word.encode()).rstrip(b"=")[:-1]):
            assert coded not in everything
    # Positive control: what does leave would be found.
    assert all(word in everything for word in (b"synthetic-000001", b"S000001", b"bleed", b"clinic"))


def test_released_weights_draw_the_images(tmp_path, monkeypatch):
    import torch

    from synthcohort.core.checkpoint import write_weights
    from synthcohort.gan.registry import load_family
    from synthcohort.gan.sampler import load_generator, sample_images

    architecture = {"resolution": 8, "channels": 1, "findings": 3, "widths": [8], "blocks": 1, "latent": 4}
    run = generator_folder(tmp_path / "run")
    torch.manual_seed(0)
    write_weights(run / "generator.safetensors", load_family("r3-gan").generator(**architecture).state_dict())
    write_json(run / "generator.json", {**GENERATOR, "architecture": architecture})
    monkeypatch.setattr("release_cases.WEIGHTS", file_digest(run / "generator.safetensors"))
    build_bundle(tmp_path / "bundle", subject(tmp_path / "stores", weights=True), run, SEED)
    labels, cpu = np.eye(3, dtype=np.float32), torch.device("cpu")
    drawn = [
        np.concatenate(list(sample_images(load_generator(folder, cpu), labels, 5)))
        for folder in (run, tmp_path / "bundle/generator")
    ]
    np.testing.assert_array_equal(*drawn)


def test_weights_that_drew_other_images_do_not_leave(tmp_path):
    chosen = subject(tmp_path / "stores", weights=True)
    run = generator_folder(tmp_path / "run")
    (run / "generator.safetensors").write_bytes(b"of another training")
    with pytest.raises(UserError, match=r"is not what drew the images; sample again, or set release\.weights to false"):
        build_bundle(tmp_path / "bundle", chosen, run, SEED)
    assert "manifest-sha256.txt" not in contents(tmp_path / "bundle")


def test_the_same_stores_give_the_same_bytes(tmp_path):
    first = contents(built(tmp_path / "a")[0])
    assert first == contents(built(tmp_path / "b")[0])
    other = contents(built(tmp_path / "c", creator="Another clinic")[0])
    changed = {name for name in first if first[name] != other[name]}
    assert changed == {"README.md", "croissant.json", "manifest-sha256.txt"}


def test_patients_of_two_bundles_are_not_taken_for_one(tmp_path):
    """As for UIDs, it is what is written that counts: the same bundle built again has the same ones."""
    patients = [
        set(pd.read_csv(built(tmp_path / name, **settings)[0] / "data/labels.csv")["patient_id"])
        for name, settings in (("a", {}), ("b", {"creator": "Another clinic"}), ("c", {"counts": (8, 3)}))
    ]
    assert patients[0] == patients[1]
    assert len(patients[0]) == 12
    assert not patients[0] & patients[2]
    assert all(re.fullmatch(r"[0-9a-f]{8}-synthetic-[0-9]{6}", name) for name in patients[2])


def test_a_failed_gate_builds_nothing_and_removes_what_was_there(tmp_path):
    bundle, _ = built(tmp_path)
    (bundle / "notes.txt").write_text("mine")
    failing = subject(tmp_path / "others", figures=FAILING)
    with pytest.raises(UserError, match=r"may not leave, and no bundle was built: .* ends at 0\.700, above 0\.6"):
        build_bundle(bundle, failing, tmp_path / "run", SEED)
    assert set(contents(bundle)) == {"notes.txt"}


def test_an_override_stands_in_card_and_record(tmp_path):
    bundle, _ = built(tmp_path, figures=FAILING, override=REASON)
    for name in ("README.md", "croissant.json"):
        text = (bundle / name).read_text()
        assert REASON in text
        assert "0.700, above 0.6" in text
    card = (bundle / "README.md").read_text()
    assert card.index("did not pass its privacy gate") < card.index("What is in it")
    assert "The gate is passed" not in card


def test_the_card_reports_the_figures_of_this_run(tmp_path):
    bundle, _ = built(tmp_path)
    lines = (bundle / "README.md").read_text().splitlines()
    table = {line.split(" | ")[0].strip("| "): line for line in lines if line.startswith("| ")}
    assert "0.900 (0.880 to 0.920), n = 1200 | 0.800 (0.780 to 0.820)" in table["Mean"]
    assert "0.100 (0.070 to 0.130), n = 1200 | 75% (70% to 80%), n = 1200" in table["Mean"]
    assert table["Bleed"].endswith("0.800 (0.780 to 0.820), n = 1200 | – | – |")
    fidelity = "12.500 (11.000 to 14.000), n = 1200 | 4.250 (4.000 to 4.500), n = 1200"
    assert fidelity in table["Fréchet distance (lower is better)"]
    attack = table["closest record in pixels, patients"]
    unresolved = "not resolvable with n = 1200"
    assert (
        f"0.510 (0.470 to 0.550), n = 1200 | {unresolved} | 0.012 (0.006 to 0.020), n = 1200 | 0.110 (0.080 to 0.140)"
        in attack
    )
    controls = ("0.990 (0.980 to 1.000)", "0.520 (0.480 to 0.560)", "0.500 (0.460 to 0.540)")
    assert attack.endswith("".join(f"{control}, n = 1200 | " for control in controls).strip())
    authentic = table["Authenticity: share of images that are no near copies, by pixels (Alaa et al. 2022)"]
    others = "replayed images of other patients"
    assert f"0.930 (0.900 to 0.960), n = 1200 | 0.990 (0.970 to 1.000), n = 1200 | {others} |" in authentic
    assert table["discriminator, patients"].endswith("| – | – | 0.500 (0.460 to 0.540), n = 1200 |")
    assert table["Training"].startswith("| Training | 80 | 40 |")
    assert "100 images of 51 patients" in "\n".join(lines)
    assert table["windows"] == "| windows | 0 to 80 |"
    assert "The gate is passed." in "\n".join(lines)
    assert "Licence: CC-BY-4.0. Answered for by Test clinic, https://example.org/x. Version 1.0.0, 2026-01-02." in lines


def test_the_card_names_the_canaries_control_and_the_verifier(tmp_path):
    known = {"features": "verifier (small)", "source": "real"}
    rows = [
        figure("canaries_found", 2, np.nan, np.nan),
        figure("canaries_found", 0, np.nan, np.nan, source="real", role="negative_control", n=80),
        figure("verification_auroc", np.nan, np.nan, np.nan, **known, n=7),
    ]
    table = pd.concat([metrics(), pd.DataFrame(rows)], ignore_index=True)
    card = (built(tmp_path, figures=table, override=REASON)[0] / "README.md").read_text()
    assert "| Images that show a planted canary | 2, n = 1200 | 0, n = 80 | real test images |" in card
    assert "not resolvable with n = 7 patients" in card


def test_simulated_patients_are_called_simulated(tmp_path):
    real, _ = built(tmp_path / "a")
    simulated, _ = built(tmp_path / "b", simulated=True)
    for name in ("README.md", "croissant.json"):
        assert "simulated" not in (real / name).read_text()
        assert "simulated" in (simulated / name).read_text()


def test_the_card_has_whole_tables_and_no_gaps(tmp_path):
    for number, settings in enumerate(({"weights": True}, {"modality": "DX", "url": None, "published": None})):
        bundle, _ = built(tmp_path / str(number), **settings)
        text = (bundle / "README.md").read_text()
        assert not re.search(r"\n{4,}|None|nan|{{|{%", text)
        for block in re.findall(r"(?:^\|.*\n)+", text, re.MULTILINE):
            rows = block.splitlines()
            assert re.fullmatch(r"(\| --- )+\|", rows[1])
            assert {row.replace("\\|", "").count("|") for row in rows} == {rows[0].count("|")}


def test_only_what_a_generator_drew_can_be_released(tmp_path):
    chosen = subject(tmp_path)
    train = chosen.parts["train"]
    real = ImageStore(train.folder)
    real.info = train.info.model_copy(update={"policy": {"square": "padded"}})
    for parts, terms in (({"train": real}, chosen.release), (chosen.parts, release(source="cpd-gan"))):
        with pytest.raises(UserError, match="the store of part 'train' does not hold images drawn by"):
            replace(chosen, release=terms, parts=parts)
    with pytest.raises(UserError, match="the store of part 'train' is of another cohort"):
        replace(chosen, release=release(cohort="other"))


def test_sizes_of_the_source_are_counted_in_the_selection(tmp_path):
    chosen = subject(tmp_path / "stores")
    sides = ["train", "train", "train", "valid", "test"]
    selection = {"row": range(5), "patient_id": list("aabcd"), "side": sides, "combination": [0, 0, 0, 1, 1]}
    pd.DataFrame(selection).to_parquet(tmp_path / "selection.parquet")
    store = chosen.parts["train"].folder / "store.json"
    source = SourceCohort.read(chosen.source.ingest, {}, store, tmp_path / "selection.parquet")
    assert source.sizes == {"train": (3, 2), "valid": (1, 1), "test": (1, 1)}
    assert source.combination_patients == 2, "three images, of two patients; others than training patients do not count"
