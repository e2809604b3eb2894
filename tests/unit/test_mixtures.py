"""Classifiers that learn from real and synthetic images: the joined store, and going on from other weights."""

from pathlib import Path

import numpy as np
import pytest
import torch

from gan_toys import make_images
from synthcohort.classify.joined import JoinedStore
from synthcohort.classify.trainer import train_classifier
from synthcohort.core.config import Classifier, Study
from synthcohort.core.errors import UserError
from synthcohort.core.experiment import Experiment
from synthcohort.core.files import Files
from synthcohort.core.plan import Plan
from synthcohort.core.store import ImageStore

CPU = torch.device("cpu")


def store(folder: Path, count: int, value: int, side: int = 8) -> ImageStore:
    """Images of one value that differ in their first pixel."""
    images = np.full((count, 1, side, side), value, np.uint8)
    images[:, 0, 0, 0] = np.arange(count)
    make_images(folder, images, findings=2)
    return ImageStore(folder)


def test_joined_rows_come_from_their_own_store(tmp_path: Path) -> None:
    first, second = store(tmp_path / "a", 10, 50), store(tmp_path / "b", 6, 90)
    joined = JoinedStore((first, np.array([7, 1, 4])), (second, second.all_rows))
    assert len(joined) == 9
    images = joined.images[np.array([8, 0, 3, 2, 0])]
    assert images[:, 0, 0, 0].tolist() == [5, 7, 0, 4, 7]
    assert images[:, 0, 1, 1].tolist() == [90, 50, 90, 50, 50]
    np.testing.assert_array_equal(joined.labels, np.concatenate([first.labels[[7, 1, 4]], second.labels]))
    assert joined.shape == (9, 1, 8, 8)
    np.testing.assert_array_equal(joined.images[2:5], joined.images[np.array([2, 3, 4])])
    other = JoinedStore((first, np.array([7, 1, 5])), (second, second.all_rows))
    assert other.info.data_version != joined.info.data_version


def test_stores_of_another_size_do_not_join(tmp_path: Path) -> None:
    first, second = store(tmp_path / "a", 4, 50), store(tmp_path / "b", 4, 90, side=16)
    with pytest.raises(UserError, match="other findings, or another size"):
        JoinedStore((first, first.all_rows), (second, second.all_rows))


def test_training_goes_on_from_given_weights(tmp_path: Path) -> None:
    data = store(tmp_path / "a", 40, 50)
    subset, settings = (data, data.all_rows), Classifier(network="plain", kimg=0.064)
    arguments = (subset, subset, settings, 3)
    before = train_classifier(*arguments, tmp_path / "before", CPU, False, "")
    start = {name: value.clone() for name, value in before.state_dict().items()}
    fresh = train_classifier(*arguments, tmp_path / "fresh", CPU, False, "")
    after = train_classifier(*arguments, tmp_path / "after", CPU, False, "", start)
    again = train_classifier(*arguments, tmp_path / "again", CPU, False, "", start)
    weights = [next(iter(network.parameters())) for network in (fresh, after, again)]
    assert not torch.equal(weights[0], weights[1])
    assert torch.equal(weights[1], weights[2])


def test_sources_and_shared_runs_of_the_amount_axis() -> None:
    axis = {"axis": "amount", "levels": [200, 50], "mixtures": ["mix", "pre"], "resolution": 8}
    plan = Plan(Study.model_validate({"cohorts": [{"name": "c", "phantom": {"anatomy": "head"}}], "axes": [axis]}))
    experiment = plan.experiment("c", "amount-0200")
    assert isinstance(experiment, Experiment)
    assert experiment.sources == ["real", "r3-gan", "mix-r3-gan", "pre-r3-gan"]
    assert (experiment.home, experiment.amount) == ("amount-0050", 2.0)
    assert [plan.family(source) for source in experiment.sources] == [None, "r3-gan", "r3-gan", "r3-gan"]
    assert Files(plan).expand("{experiment}/{source}", "c", "amount-0200") == [
        "amount-0050/real", "amount-0200/r3-gan", "amount-0200/mix-r3-gan", "amount-0200/pre-r3-gan",
    ]  # fmt: skip
    assert Files(plan).expand_generators("{experiment}/{source}/{replicate}") == ["amount-0050/r3-gan/r0"]
    shared = Files(plan).generator_files("{experiment}/{source}/{replicate}", ["g"], "c", "amount-0200", "r3-gan", "r0")
    assert shared == ["amount-0050/r3-gan/r0/g"]
