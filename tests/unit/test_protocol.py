"""The paper's protocol and the corrected one: each switch on a case where the two differ."""

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import torch
import yaml

from dicom_files import ct, save
from gan_toys import make_images
from synthcohort.audit.utility import utility_metrics
from synthcohort.classify.networks import build_network
from synthcohort.classify.predict import whole_batches
from synthcohort.classify.training import Training as ClassifierTraining
from synthcohort.classify.training import class_weights, masked_loss
from synthcohort.cohort.experiments import CohortImages, experiments_table
from synthcohort.cohort.labels import drop_unlabelled, mark_normal, names_with_normal
from synthcohort.cohort.split import split_patients
from synthcohort.core.cohort_config import Ingest
from synthcohort.core.config import Classifier, Statistics, Study
from synthcohort.core.errors import UserError
from synthcohort.core.load import load_study
from synthcohort.core.plan import Plan
from synthcohort.core.protocol import Protocol
from synthcohort.core.workflow import growing_with_side
from synthcohort.dicom.preprocess import render_file
from synthcohort.dicom.render import Renderer
from synthcohort.gan.sampler import wanted_labels

ROOT = Path(__file__).resolve().parents[2]
SWITCHES = set(Protocol.model_fields) - {"name"}
AXES = [
    {"axis": "resolution", "levels": [16], "valid_images": 40, "test_images": 30, "minimum_images": 100},
    {"axis": "classes", "levels": [2, 3], "images": {2: 40, 3: 10}, "train_images": 60, "test_images": 2},
    {"axis": "samples", "levels": [400], "combinations": "all", "valid_images": 4, "take_fewer": True},
]


def study(protocol: object = "corrected", axes: list[dict] = AXES, **cohort: object) -> Study:
    cohorts = [{"name": "c", "phantom": {"anatomy": "chest"}, "minimum_combination": 5, **cohort}]
    return load_study({"cohorts": cohorts, "axes": axes, "protocol": protocol})


def images(chosen: Study) -> CohortImages:
    """600 images of 200 patients: combinations a (about 60 %), b (30 %) and a+b (10 %)."""
    kind = np.random.default_rng(0).choice(3, 600, p=[0.6, 0.3, 0.1])
    records = pd.DataFrame(
        {"image_id": [f"i{n}" for n in range(600)], "patient_id": [f"p{n // 3}" for n in range(600)]}
    )
    records = records.assign(a=(kind != 1).astype(float), b=(kind != 0).astype(float))
    sides = split_patients([f"p{n}" for n in range(200)], 1, "c", {})
    split = pd.DataFrame({"patient_id": list(sides), "side": list(sides.values())})
    return CohortImages(chosen.cohorts[0], records, ["a", "b"], split, 1, chosen.protocol.unequal_totals)


def counts(chosen: Study, experiment: str, side: str) -> list[int]:
    selection = images(chosen).select(Plan(chosen).experiment("c", experiment))
    return selection[selection["side"] == side]["combination"].value_counts().sort_index().tolist()


def test_one_word_sets_every_switch_and_single_ones_can_differ() -> None:
    assert not any(getattr(study().protocol, switch) for switch in SWITCHES)
    assert all(getattr(study("paper").protocol, switch) for switch in SWITCHES)
    mixed = study({"name": "paper", "flip_auroc": False}).protocol
    assert [switch for switch in SWITCHES if not getattr(mixed, switch)] == ["flip_auroc"]
    with pytest.raises(UserError, match=r"protocol.name: must be one of corrected, paper; did you mean 'paper'"):
        study("papre")


def test_unequal_totals() -> None:
    assert counts(study(), "classes-002", "train") == [30, 30]
    assert counts(study(), "classes-003", "train") == [20, 20, 20]
    assert counts(study("paper"), "classes-002", "train") == [40, 40]
    assert counts(study("paper"), "classes-003", "train") == [10, 10, 10]
    with pytest.raises(UserError, match="unequal_totals needs images"):
        study("paper", [{"axis": "classes", "levels": [2]}])


def test_quotas_of_validation_and_test_images() -> None:
    chosen = study()
    assert counts(chosen, "classes-003", "test") == [2, 2, 2]
    assert sum(counts(chosen, "resolution-016", "test")) == 30
    assert sum(counts(chosen, "resolution-016", "valid")) == 40
    assert len(counts(chosen, "resolution-016", "train")) == 2, "a+b has fewer than 100 images"


def test_a_quota_that_cannot_be_filled_is_recorded_where_that_is_allowed() -> None:
    chosen = study()
    table = experiments_table(images(chosen), Plan(chosen).experiments, chosen.statistics).set_index("experiment")
    row = table.loc["samples-00400"]
    assert row["train_short"] == 3 * 400 - row["train_images"] > 0
    assert row["valid_images"] == 12
    assert row["valid_short"] == 0
    strict = study(axes=[{**AXES[2], "take_fewer": False}])
    with pytest.raises(UserError, match="the largest feasible level is"):
        images(strict).select(Plan(strict).experiment("c", "samples-00400"))


def test_a_combination_can_be_cut() -> None:
    cut = images(study(maximum_combination={"a": 50}))
    assert cut.names[0] == "b", "a was the most frequent before"
    assert (cut.table["combination"] == cut.names.index("a")).sum() == 50
    with pytest.raises(UserError, match="maximum_combination names 'b\\+a'"):
        images(study(maximum_combination={"b+a": 50}))


def test_drop_unlabelled() -> None:
    index = pd.DataFrame({"status": "accepted", "reason": "", "a": [0.0, 1, 0], "b": [0.0, 0, 1]})
    names = names_with_normal([index], ["a", "b"])
    assert names == ["a", "b", "no_finding"]
    assert mark_normal(index, names)["status"].eq("accepted").all()
    paper = drop_unlabelled(index, ["a", "b"])
    assert paper["status"].tolist() == ["rejected", "accepted", "accepted"]
    assert paper["reason"].tolist() == ["no positive finding (protocol)", "", ""]
    assert "no_finding" not in paper


def test_scale_each_image(tmp_path: Path) -> None:
    assert not Plan(study()).ingest("c").scale_each_image
    assert Plan(study("paper")).ingest("c").scale_each_image
    values = np.full((16, 16), -1000)
    values[:, 6:11], values[:, 11:] = 16, 36
    path = save(ct(values), tmp_path / "slice.dcm")  # stored values are 1024 higher

    def render(**changes: object) -> tuple[list[int], str]:
        ingest = Ingest.model_validate({"windows": [{"center": 40, "width": 80}], **changes})
        rendering = render_file(path.read_bytes(), Renderer(ingest, [16]), 16)[0]
        return rendering.images[16][0, 8, [2, 8, 13]].tolist(), rendering.windowed

    assert render() == ([0, 51, 115], "fixed")
    assert render(scale_each_image=True) == ([round(255 * 24 / 1060), round(255 * 1040 / 1060), 255], "maximum")


def test_drop_incomplete_batch() -> None:
    rows = np.arange(100)
    assert whole_batches(rows, 48).tolist() == list(range(96))
    with pytest.raises(UserError, match="100 test images are less than one batch of 128"):
        whole_batches(rows, 128)


def test_class_weights_count_unless_the_protocol_ignores_them(tmp_path: Path) -> None:
    labels = torch.tensor([[1.0, 0], [0, 0], [0, torch.nan], [0, 0]])
    assert class_weights(labels).tolist() == [3.0, 1.0]
    outputs = torch.zeros(4, 2)
    plain, weighted = masked_loss(outputs, labels), masked_loss(outputs, labels, class_weights(labels))
    assert weighted.item() == pytest.approx(plain.item() * (7 + 2) / 7)

    config = {"network": "plain", "kimg": 0.064, "class_weights": True}
    make_images(tmp_path, np.random.default_rng(0).integers(0, 255, (30, 1, 16, 16), np.uint8), findings=3)
    trained = {}
    for name in ("corrected", "paper"):
        chosen = study(name).model_copy(update={"classifier": Classifier.model_validate(config)})
        settings = Plan(chosen).classifier
        assert settings.class_weights == (name == "corrected")
        trained[name] = _first_step(tmp_path, settings)
    assert trained["paper"] == _first_step(tmp_path, Classifier.model_validate({**config, "class_weights": False}))
    assert trained["paper"] != trained["corrected"]


def _first_step(folder: Path, settings: Classifier) -> float:
    from synthcohort.core.store import ImageStore

    store = ImageStore(folder)
    network = build_network("plain", 1, store.info.finding_names, 16, 0)
    subset = (store, store.all_rows)
    training = ClassifierTraining(network, subset, subset, settings, 0, torch.device("cpu"), False)
    training.advance()
    return training.history[0]["train_loss"]


def test_stop_on_training_images() -> None:
    assert Plan(study()).stop_rule.images == "validation"
    published = Plan(study("paper")).stop_rule
    assert (published.images, published.samples) == ("training", 10_000)


def generators_mirror(chosen: Study) -> bool:
    changes = Plan(chosen).training("c", "resolution-016", "r3-gan")["changes"]
    return bool(changes["horizontal_flip"])


def test_mirror_always() -> None:
    """As published, classifiers mirror in every cohort and generators in none."""
    chosen = study(), study(horizontal_flip=True), study("paper"), study("paper", horizontal_flip=True)
    assert [Plan(one).mirrors("c") for one in chosen] == [False, True, True, True]
    assert [generators_mirror(one) for one in chosen] == [False, True, False, False]


@pytest.mark.parametrize("word", ["paper", "corrected"])
def test_one_word_turns_the_papers_study_into_the_corrected_one(word: str) -> None:
    config = yaml.safe_load((ROOT / "studies/paper.yaml").read_text())
    assert config["protocol"] == "paper"
    chosen = load_study(config | {"protocol": word})
    assert {getattr(chosen.protocol, switch) for switch in SWITCHES} == {word == "paper"}
    plan = Plan(chosen)
    mirrored = {name: (plan.mirrors(name), plan.generators_mirror(name)) for name in plan.cohorts}
    totals: dict[str, dict[int, int]] = {}
    for experiment in plan.experiments:
        if experiment.axis.axis == "classes":
            quota = images(chosen).quotas(experiment.axis, experiment.level)["train"] or 0
            totals.setdefault(experiment.cohort, {})[experiment.level] = quota * experiment.level
    if word == "paper":
        assert mirrored == {"chexpert": (True, False), "rsna": (True, False)}
        assert totals["chexpert"] == {20: 29000, 15: 24000, 10: 20000, 6: 13800, 4: 15600, 2: 12600}
        assert totals["rsna"] == {10: 25000, 8: 24960, 6: 25020, 4: 25000, 2: 25000}
    else:
        assert mirrored == {"chexpert": (False, False), "rsna": (True, True)}
        # What the paper's own numbers can fill at every level; else totals would differ again.
        assert set(totals["chexpert"].values()) == {12600}
        assert min(totals["rsna"].values()) > 25000 - 10
        assert max(totals["rsna"].values()) == 25000


def utility(protocol: Protocol) -> pd.DataFrame:
    """Metrics of finding a (scored upside down by the source), b (right) and c (never positive)."""
    count = 60
    labels = np.stack([np.arange(count) % 2, np.arange(count) // 2 % 2, np.zeros(count)], 1).astype(float)
    good = np.clip(labels + np.random.default_rng(0).normal(0, 0.3, labels.shape), 0, 1)
    tables = {}
    for source, scores in {"real": good, "r3-gan": good * [-1, 1, 1] + [1, 0, 0]}.items():
        tables[source] = pd.DataFrame(
            {
                "image_id": np.repeat([f"i{number}" for number in range(count)], 3),
                "patient_id": np.repeat([f"p{number}" for number in range(count)], 3),
                "finding": np.tile(["a", "b", "c"], count),
                "label": labels.ravel(),
                "score": scores.ravel(),
            }
        )
    keys = dict.fromkeys(("study", "cohort", "experiment", "axis", "level"), "x")
    metrics = utility_metrics(keys, {"r0": tables}, ["a"], ["a"], Statistics(bootstrap=20), 1, True, protocol)
    return metrics[(metrics["metric"] == "auroc") & (metrics["source"] == "r3-gan") & (metrics["parameter"] == "")]


def test_flip_auroc() -> None:
    corrected, paper = (
        utility(Protocol(flip_auroc=flip)).set_index("finding")["value"].to_dict() for flip in (False, True)
    )
    assert corrected["a"] < 0.1
    assert corrected["mean"] == corrected["a"], "the findings that are averaged are fixed beforehand"
    assert paper["a"] == pytest.approx(1 - corrected["a"])
    assert paper["mean"] == pytest.approx((paper["a"] + paper["b"]) / 2), "c is undefined and leaves the mean"


def test_own_findings_only() -> None:
    assert "mean_common" in set(utility(Protocol())["finding"])
    assert "mean_common" not in set(utility(Protocol(own_findings_only=True))["finding"])


def test_memory_of_audits_grows_with_the_side_and_with_attempts() -> None:
    plan = Plan(study(axes=[{"axis": "resolution", "levels": [16, 512]}]))
    ask = growing_with_side(plan, 3000)
    small, large = (SimpleNamespace(cohort="c", experiment=f"resolution-{side}") for side in ("016", "512"))
    assert [ask(small, 1), ask(large, 1), ask(large, 3)] == [3005, 8000, 24_000]


def test_copy_labels() -> None:
    labels = {
        "train": np.repeat(np.eye(3, dtype=np.float32), [60, 30, 10], axis=0),
        "valid": np.array([[0, 0, 1], [1, np.nan, 0], [0, 0, 1]], np.float32),
    }
    np.testing.assert_array_equal(wanted_labels(labels, "valid", 1, copied=True), np.nan_to_num(labels["valid"]))
    drawn = wanted_labels(labels, "train", 1)
    assert len(drawn) == 100
    assert not np.array_equal(drawn, labels["train"])
    assert not np.array_equal(drawn, wanted_labels(labels, "train", 2))
    assert len(wanted_labels(labels, "train", 1, amount=2.5)) == 250
