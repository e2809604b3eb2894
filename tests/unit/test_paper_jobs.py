"""Under `protocol: paper` the jobs themselves do as published: what they write, from images to metrics."""

import runpy
from collections import namedtuple
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch

from gan_toys import draw_faces, make_images
from synthcohort.core import job
from synthcohort.core.atomic import write_json
from synthcohort.core.checkpoint import write_weights
from synthcohort.core.load import load_study
from synthcohort.core.plan import Plan
from synthcohort.core.store import ImageStore
from synthcohort.gan.registry import load_family

SCRIPTS = Path(__file__).resolve().parents[2] / "scripts"
SIDES = {"train": 80, "valid": 30, "test": 100}
BATCH = 64
"""Of the small classifier: of 100 test images 36 fill no batch."""
Run = namedtuple("Run", "cohort experiment source replicate")


class Params(dict):
    """Read as attributes, as Snakemake's are."""

    __getattr__ = dict.__getitem__


@pytest.fixture(scope="module", params=["paper", "corrected"])
def written(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> SimpleNamespace:
    """Run sample, train_classifier (real) and utility, with the params that the rules take from the config."""
    folder: Path = tmp_path_factory.mktemp(request.param)
    study = load_study(
        {
            "cohorts": [{"name": "c", "phantom": {"anatomy": "head"}}],
            "axes": [{"axis": "resolution", "levels": [16], "families": ["r3-gan"]}],
            "classifier": {"network": "small", "kimg": 0.128},
            "statistics": {"bootstrap": 100},
            "protocol": request.param,
        }
    )
    plan = Plan(study)
    make_images(folder / "real", draw_faces(sum(SIDES.values()), 0), findings=2)
    real = ImageStore(folder / "real")
    selection = pd.DataFrame({"row": np.arange(len(real)), "side": np.repeat(list(SIDES), list(SIDES.values()))})
    selection.sample(frac=1, random_state=1).sort_values("row").to_parquet(folder / "selection.parquet")
    sizes = {"resolution": 16, "channels": 1, "findings": 2, "widths": [8, 8], "blocks": 1, "latent": 4}
    torch.manual_seed(0)
    write_weights(folder / "generator.safetensors", load_family("r3-gan").generator(**sizes).state_dict())
    write_json(folder / "generator.json", {"family": "r3-gan", "kimg": 0.0, **sizes, "architecture": sizes})
    pd.DataFrame({"experiment": ["resolution-016"], "averaged": ["f0;f1"], "common": ["f0"]}).to_csv(
        folder / "experiments.csv", index=False
    )
    shared = {"study": "s", "seed": 1, "threads": 1, "device": "cpu"}
    common = {"selection": str(folder / "selection.parquet"), "real": [str(folder / "real/store.json")]}

    def run(script: str, wildcards: Any, given: dict, output: Any, **params: Any) -> None:
        snakemake = SimpleNamespace(
            input=SimpleNamespace(**given), output=output, params=Params(shared | params), wildcards=wildcards
        )
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(job, "run_job", lambda given, main: main(given))
            runpy.run_path(str(SCRIPTS / script), {"snakemake": snakemake})

    made = {side: [str(folder / "r3-gan" / side / "images.npy")] for side in ("train", "valid")}
    copied = {"copy_labels": study.protocol.copy_labels, "amount": 1.0, "candidates": 1}
    generator = {**common, "generator": [str(folder / "generator.safetensors")], "guide": []}
    run("sample.py", Run("c", "resolution-016", "r3-gan", "r0"), generator, made, **copied)
    tables = {}
    for source in ("real", "r3-gan"):
        here = folder / source / "r0"
        run(
            "train_classifier.py",
            Run("c", "resolution-016", source, "r0"),
            {**common, "synthetic": made["train"] if source != "real" else [], "before": []},
            SimpleNamespace(
                weights=str(here / "classifier.safetensors"), predictions=str(here / "predictions.parquet")
            ),
            classifier=plan.classifier.model_dump(mode="json"),
            mirror=plan.mirrors("c"),
            drop_incomplete_batch=study.protocol.drop_incomplete_batch,
        )
        tables[source] = str(here / "predictions.parquet")
    run(
        "utility.py",
        ("c", "resolution-016"),
        {"experiments": str(folder / "experiments.csv"), "store": common["real"], "predictions": list(tables.values())},
        [str(folder / "utility.parquet")],
        sources=["real", "r3-gan"],
        replicates=["r0"],
        statistics=study.statistics.model_dump(mode="json"),
        protocol=study.protocol.model_dump(mode="json", include={"flip_auroc", "own_findings_only"}),
    )
    return SimpleNamespace(
        paper=request.param == "paper",
        labels={side: real.labels[(selection["side"] == side).to_numpy()] for side in SIDES},
        synthetic={side: ImageStore(folder / "r3-gan" / side).labels for side in made},
        predictions={source: pd.read_parquet(path) for source, path in tables.items()},
        metrics=pd.read_parquet(folder / "utility.parquet"),
    )


def test_test_images_that_fill_no_batch_are_dropped(written: SimpleNamespace) -> None:
    for table in written.predictions.values():
        assert table["image_id"].nunique() == (BATCH if written.paper else SIDES["test"])


def test_synthetic_labels_are_the_real_ones_in_their_order(written: SimpleNamespace) -> None:
    for side, labels in written.synthetic.items():
        assert len(labels) == SIDES[side]
        assert np.array_equal(labels, written.labels[side]) == written.paper


def test_metrics_hold_what_the_protocol_has(written: SimpleNamespace) -> None:
    metrics = written.metrics
    assert ("mean_common" in set(metrics["finding"])) != written.paper
    assert set(metrics["parameter"]) == {"", "unflipped" if written.paper else "delong"}
    aurocs = metrics[(metrics["metric"] == "auroc") & (metrics["parameter"] == "")]
    assert len(aurocs)
    if written.paper:
        assert (aurocs["value"] >= 0.5).all()
        assert (metrics["n"] == BATCH).all()
