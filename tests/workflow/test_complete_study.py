"""The whole workflow on the smoke study: what stands at the end, what reruns, what does not."""

import copy
import hashlib
import json
import re
import zipfile
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from shown import at_size, embedded, near_copies
from workflows import release_of

from synthcohort.audit.privacy_vocabulary import CAUGHT, CHANCE_MARGIN
from synthcohort.core.store import ImageStore
from synthcohort.readers.answers import ANSWERS, Answer, AnswerBook
from synthcohort.readers.study import ServedStudy

pytestmark = pytest.mark.workflow


def test_the_report_and_its_parts_stand(smoke) -> None:
    for name in (
        "report.html",
        "report-shareable.html",
        "metrics.parquet",
        "tables/resolution.csv",
        "tables/resolution.tex",
    ):
        assert (smoke.results / name).stat().st_size > 100
    for kind in ("pdf", "svg", "png", "csv"):
        for axis in ("resolution", "classes", "samples", "amount"):
            for name in ("auroc-{}", "fidelity-{}", "privacy-{}", "paper-{}-one-column", "paper-{}-two-columns"):
                assert (smoke.results / f"figures/{name.format(axis)}.{kind}").is_file()
        for name in ("accuracy", "roc"):
            assert (smoke.results / f"figures/readers-{name}.{kind}").is_file()
        for name in ("neighbours-one-column", "attribution-two-columns"):
            assert (smoke.results / f"internal/figures/paper-{name}.{kind}").is_file()


def test_metrics_have_every_experiment_and_source(smoke) -> None:
    metrics = pd.read_parquet(smoke.results / "metrics.parquet")
    found = set(map(tuple, metrics.loc[metrics["metric"] == "auroc", ["cohort", "experiment", "source"]].to_numpy()))
    expected = {
        (cohort, experiment, source)
        for cohort, experiments in {
            "head-phantom": ("resolution-008", "resolution-016", "classes-002"),
            "chest-phantom": ("resolution-016", "samples-00006"),
        }.items()
        for experiment in experiments
        for source in ("real", "r3-gan")
    } | {
        ("head-phantom", experiment, family)
        for experiment in ("resolution-008", "resolution-016")
        for family in ("prog-gan", "cpd-gan")
    }
    expected |= {
        ("chest-phantom", experiment, source)
        for experiment in ("amount-0050", "amount-0200")
        for source in ("real", "r3-gan", "mix-r3-gan", "pre-r3-gan")
    }
    assert found == expected
    assert metrics["simulated"].all()
    values = metrics.dropna(subset=["value", "ci_low", "ci_high"])
    assert (values["ci_low"] <= values["value"] + 1e-9).mean() > 0.95
    means = metrics[metrics["finding"] == "mean"]
    gap, auroc = (
        means[means["metric"] == metric].pivot_table(index=["cohort", "experiment"], columns="source", values="value")
        for metric in ("utility_gap", "auroc")
    )
    assert set(gap) == {"prog-gan", "cpd-gan", "r3-gan", "mix-r3-gan", "pre-r3-gan"}
    for source in gap:
        np.testing.assert_allclose(gap[source], (auroc["real"] - auroc[source]).reindex(gap.index), atol=1e-12)


def test_every_generator_is_attacked_beside_controls_that_alarm_and_stay_silent(smoke) -> None:
    metrics = pd.read_parquet(smoke.results / "metrics.parquet")
    attacks = metrics[metrics["metric"] == "attack_auroc"]
    trained = {("head-phantom", "resolution-016", family) for family in ("prog-gan", "cpd-gan", "r3-gan")}
    trained |= {("chest-phantom", "resolution-016", "r3-gan"), ("chest-phantom", "amount-0200", "r3-gan")}
    values = attacks[attacks["role"] == "value"]
    assert trained <= set(map(tuple, values[["cohort", "experiment", "source"]].to_numpy()))
    assert {"closest_record/patient", "density_ratio/image", "discriminator/patient"} <= set(values["parameter"])
    finest = attacks[(attacks["experiment"] == "resolution-016") & (attacks["features"] == "pixels")]
    replayed = finest[(finest["role"] == "positive_control") & finest["parameter"].str.startswith("closest_record")]
    assert len(replayed) == 4
    assert replayed["value"].min() >= CAUGHT
    silent = finest[
        finest["parameter"].str.startswith(("closest_record", "calibrated")) & finest["parameter"].str.contains("third")
    ]
    assert ((silent["ci_low"] - CHANCE_MARGIN < 0.5) & (silent["ci_high"] + CHANCE_MARGIN > 0.5)).all()
    table = pd.read_csv(smoke.results / "tables/privacy.csv")
    assert len(table) == len(values)


def test_simulated_readers_answered_over_http_and_stand_beside_the_machine(smoke) -> None:
    metrics = pd.read_parquet(smoke.results / "metrics.parquet")
    rows = metrics[metrics["metric"] == "reader_accuracy"]
    cells = rows[(rows["parameter"] == "") & (rows["level"] != "all") & (rows["cohort"] != "all")]
    shown = {(cohort, level, "r3-gan") for cohort, level in [("head-phantom", "008"), ("head-phantom", "016")]}
    shown |= {("head-phantom", level, family) for level in ("008", "016") for family in ("prog-gan", "cpd-gan")}
    shown |= {("chest-phantom", "016", "r3-gan")}
    assert shown <= set(map(tuple, cells[["cohort", "level", "source"]].to_numpy()))
    assert set(rows["parameter"]) == {"", "simulated-01", "simulated-02", "simulated-03"}
    drawn = pd.read_csv(smoke.results / "figures/readers-accuracy.csv")
    assert {"machine", "all readers", "simulated-01"} <= set(drawn["reader"])
    pages = {name: (smoke.results / f"{name}.html").read_text() for name in ("report", "report-shareable")}
    assert all("<strong>Simulated readers.</strong>" in page for page in pages.values())
    assert ["Each simulated reader" in page for page in pages.values()] == [True, False], "people could be recognised"


def test_reader_study_can_be_served_and_what_it_shows_holds_no_truth(smoke) -> None:
    served = smoke.folder / "reader-studies/smoke"
    names = {"lock", "reading.bin", "study.json", "training.bin", "training.json"}
    assert {path.name for path in served.iterdir()} == names
    assert {path.suffix for path in (smoke.folder / "private/reader-studies").glob("smoke-*")} == {".key", ".secret"}
    assert "Power" in (smoke.results / "logs/reader_study.log").read_text()


def test_peoples_answers_are_seen_though_no_rule_has_them_as_input(smoke) -> None:
    served = smoke.folder / "reader-studies/smoke"
    study = ServedStudy.read(served)
    first = study.readers[0]
    try:
        book = AnswerBook(served / ANSWERS)
        book.save_profile(first.name, "radiologist", 9)
        book.save_answer(Answer(first.name, "reading", 1, first.reading[0], True, 4, "0" * 32))
        book.close()
        assert smoke.rules_to_run() == {"reader_metrics", "metrics", "number_figures", "report", "provenance"}
    finally:
        for path in served.glob(f"{ANSWERS}*"):
            path.unlink()
    assert smoke.rules_to_run() == set()


def test_no_patient_on_two_sides_and_test_images_are_real(smoke) -> None:
    for cohort in ("head-phantom", "chest-phantom"):
        folder = smoke.results / "cohorts" / cohort
        split = pd.read_parquet(folder / "split.parquet")
        assert split["patient_id"].is_unique
        selection = pd.read_parquet(folder / "resolution-016/selection.parquet")
        assert selection.groupby("patient_id")["side"].nunique().max() == 1
        predictions = pd.read_parquet(folder / "resolution-016/r3-gan/r0/predictions.parquet")
        assert set(predictions["image_id"]) == set(selection.loc[selection["side"] == "test", "image_id"])


def test_a_synthetic_cohort_is_as_large_as_the_real_one(smoke) -> None:
    folder = smoke.results / "cohorts/head-phantom/resolution-016"
    selection = pd.read_parquet(folder / "selection.parquet")
    for side in ("train", "valid"):
        store = ImageStore(folder / "r3-gan/r0/synthetic" / side)
        assert len(store) == (selection["side"] == side).sum()
        assert not set(store.records["patient_id"]) & set(selection["patient_id"])


def test_levels_of_the_amount_axis_share_generator_and_real_classifier(smoke) -> None:
    folder = smoke.results / "cohorts/chest-phantom"
    counts = {}
    for level in ("amount-0050", "amount-0200"):
        shared = level == "amount-0050"
        assert (folder / level / "r3-gan/r0/generator.safetensors").is_file() == shared
        assert (folder / level / "real").is_dir() == shared
        counts[level] = len(ImageStore(folder / level / "r3-gan/r0/synthetic/train"))
    assert counts["amount-0200"] == pytest.approx(4 * counts["amount-0050"], abs=4)


def test_every_drawn_file_is_accounted_for(smoke) -> None:
    for cohort in ("head-phantom", "chest-phantom"):
        truth = pd.concat(map(pd.read_parquet, smoke.folder.glob(f"data/{cohort}-*/truth.parquet")))
        index = pd.read_parquet(smoke.results / f"cohorts/{cohort}/index.parquet")
        assert len(index) == len(truth)
        assert (index["status"] == "rejected").sum() == (truth["fault"] != "").sum() > 0
        assert (index.loc[index["status"] == "rejected", "reason"].str.len() > 0).all()


def test_nothing_to_do_the_second_time(smoke) -> None:
    assert "Nothing to be done" in smoke.run()


def test_one_figure_deleted_redraws_it_and_the_report(smoke) -> None:
    (smoke.results / "figures/auroc-resolution.svg").unlink()
    assert smoke.rules_to_run() == {"number_figures", "report", "provenance"}
    smoke.run()


def test_drawing_every_figure_anew_touches_no_model(smoke) -> None:
    drawing = {"number_figures", "training_figures", "picture_figures", "paper_pictures", "cohort_figure"}
    assert smoke.rules_to_run("figures", "--forcerun", *drawing) == drawing | {"figures"}


def digests(page: Path, depth: int = 3) -> set[str]:
    return {hashlib.sha256(content).hexdigest() for content in embedded(page.read_text(), depth)}


def file_digests(folder: Path) -> set[str]:
    return {hashlib.sha256(path.read_bytes()).hexdigest() for path in folder.rglob("*") if path.is_file()}


def test_no_file_that_shows_the_cohorts_is_on_the_page_to_share(smoke) -> None:
    internal, page = file_digests(smoke.results / "internal"), smoke.results / "report-shareable.html"
    drawn = [digests(path) for path in (smoke.results / "internal").rglob("*.svg")]
    assert digests(smoke.results / "report.html") & internal, "positive control: the internal page has some"
    assert any(drawn), "pictures within the internal drawings"
    assert digests(page, 1) <= file_digests(smoke.results / "figures")
    assert digests(page, 1)
    assert not digests(page) & internal.union(*drawn)
    text = page.read_text()
    assert 'class="banner"' not in text
    assert "What do they give away?" in text


def test_no_sample_on_the_page_to_share_is_nearly_a_patients_image(smoke) -> None:
    shown = 0
    for cohort, size in (("head-phantom", "008"), ("head-phantom", "016"), ("chest-phantom", "016")):
        folder = smoke.results / "cohorts" / cohort
        real = ImageStore(folder / "store" / size).images
        for path in folder.glob(f"resolution-{size}/*/r0/samples.npz"):
            with np.load(path) as arrays:
                for images in arrays.values():
                    if images.dtype == np.uint8 and images.shape[-3:] == real.shape[1:]:
                        shown += 1
                        assert near_copies(images.reshape(-1, *real.shape[1:]), real) == 0
        with np.load(folder / f"resolution-{size}/r3-gan/r0/gallery.npz") as arrays:
            assert near_copies(arrays["real"], real) == len(arrays["real"]), "positive control: patients' images"
    assert shown >= 7


def test_no_picture_on_the_page_to_share_is_nearly_a_patients_image(smoke) -> None:
    page = list(embedded((smoke.results / "report-shareable.html").read_text()))
    # The page has sheets of samples; the drawing beside each holds the same samples one by one.
    sheets = {hashlib.sha256(path.read_bytes()).hexdigest(): path for path in smoke.results.glob("figures/*.png")}
    shown = [sheets[digest] for digest in digests(smoke.results / "report-shareable.html", 1) if digest in sheets]
    page += [image for path in shown for image in embedded(path.with_suffix(".svg").read_text())]
    for cohort, size in (("head-phantom", 8), ("head-phantom", 16), ("chest-phantom", 16)):
        real = ImageStore(smoke.results / f"cohorts/{cohort}/store/{size:03d}").images[:, 0]
        pictures = at_size(page, size)
        assert len(pictures) > 100
        assert near_copies(pictures, real) == 0
        drawing = smoke.results / f"internal/figures/gallery-{cohort}-resolution-{size:03d}-r3-gan-r0.svg"
        assert near_copies(at_size(embedded(drawing.read_text()), size), real) > 0, "positive control"


def test_snakemakes_own_report_has_captions_and_no_picture_of_a_patient(smoke) -> None:
    smoke.run("--report", "report.zip")
    with zipfile.ZipFile(smoke.folder / "report.zip") as archive:
        names = [name for name in archive.namelist() if "/data/" in name]
        text = "".join(archive.read(name).decode() for name in archive.namelist() if name.endswith((".html", ".js")))
    kept = {Path(name).name for name in names}
    assert {
        "auroc-resolution.svg",
        "fidelity-resolution.svg",
        "privacy-samples.svg",
        "readers-accuracy.svg",
        "verdict.csv",
        "claims.csv",
    } <= kept
    pictures = ("gallery-", "neighbours-", "attribution-", "cohort-", "samples-", "copies-")
    assert not [name for name in kept if name.startswith(pictures)]
    assert "The patients of head-phantom and chest-phantom are simulated" in text


def test_a_failed_gate_builds_no_bundle_and_an_override_stands_in_it(smoke, monkeypatch) -> None:
    changed = copy.deepcopy(smoke.config)
    changed["release"] = release_of("chest-phantom", "resolution-016")
    monkeypatch.setattr(smoke, "config", changed)
    refused = smoke.run("release", expect=1)
    assert "chest-phantom resolution-016 r3-gan r0 may not leave, and no bundle was built" in refused
    assert "the true positive rate at 1% false positives is not resolvable with n = " in refused
    assert not (smoke.results / "release/manifest-sha256.txt").exists()
    changed["release"]["override"] = "Decided by the authors of this test: the patients are simulated."
    smoke.run("release")
    folder = smoke.results / "release"
    listed = [line.split("  ", 1) for line in (folder / "manifest-sha256.txt").read_text().splitlines()]
    assert all(hashlib.sha256((folder / path).read_bytes()).hexdigest() == digest for digest, path in listed)
    assert "Decided by the authors of this test" in (folder / "README.md").read_text()
    images = len(list((folder / "data/dicom").iterdir()))
    assert images == len(list((folder / "data/png").iterdir())) == len(pd.read_csv(folder / "data/labels.csv")) > 300
    assert not file_digests(folder) & file_digests(smoke.results / "internal")
    pictures = at_size((path.read_bytes() for path in (folder / "data/png").iterdir()), 16)
    assert near_copies(pictures, ImageStore(smoke.results / "cohorts/chest-phantom/store/016").images[:, 0]) == 0


def test_only_what_depends_on_a_changed_key_runs_again(smoke, monkeypatch) -> None:
    changed = copy.deepcopy(smoke.config)
    changed["statistics"]["bootstrap"] = 60
    monkeypatch.setattr(smoke, "config", changed)
    rules = smoke.rules_to_run()
    assert {"utility", "metrics", "number_figures", "report", "provenance"} <= rules
    assert not {"draw", "preprocess", "train_classifier", "train_generator", "sample", "gallery"} & rules


def generator_config(config: dict, family: str) -> dict:
    return next(entry for entry in config["generators"] if entry["family"] == family)


def test_a_longer_training_at_one_resolution_trains_nothing_at_another(smoke, monkeypatch) -> None:
    changed = copy.deepcopy(smoke.config)
    generator_config(changed, "r3-gan")["kimg"] = {16: 2, 8: 1}
    monkeypatch.setattr(smoke, "config", changed)
    output = smoke.run("--dry-run")
    assert set(re.findall("Training r3-gan on (.+)", output)) == {
        "head-phantom resolution-016",
        "chest-phantom resolution-016",
    }
    assert not re.findall("Growing", output)


def test_the_levels_of_a_resolution_axis_share_the_stages_of_a_growth(smoke, monkeypatch) -> None:
    cohort = smoke.results / "cohorts/head-phantom"
    stages = sorted(path.parent.relative_to(cohort) for path in cohort.glob("*/prog-gan/r0/stage-*/generator.json"))
    assert [str(stage) for stage in stages] == [
        "resolution-008/prog-gan/r0/stage-008",
        "resolution-016/prog-gan/r0/stage-016",
    ]
    grown = json.loads((cohort / "resolution-016/prog-gan/r0/generator.json").read_text())
    assert grown["stages"] == [8, 16]
    assert grown["trained_kimg"] == pytest.approx(1.0, abs=0.05)
    changed = copy.deepcopy(smoke.config)
    generator_config(changed, "prog-gan")["from_scratch"] = True
    monkeypatch.setattr(smoke, "config", changed)
    again = set(re.findall("Growing prog-gan to (.+)", smoke.run("--dry-run")))
    assert again == {"008 on head-phantom resolution-016", "016 on head-phantom resolution-016"}


def test_logs_have_status_lines(smoke) -> None:
    log = next((smoke.results / "logs/train_generator").glob("head-phantom-resolution-016*.log")).read_text()
    assert re.search(r"kimg", log)
