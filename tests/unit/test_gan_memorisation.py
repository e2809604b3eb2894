"""The alarm on real trainings: on 50 images, which r3-gan comes to copy unless it is augmented, and on enough."""

import logging
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from gan_toys import CPU, draw_faces, make_images
from synthcohort.core.atomic import read_json
from synthcohort.core.config import StopRule
from synthcohort.gan.augment import KINDS
from synthcohort.gan.presets import resolve_settings
from synthcohort.gan.registry import load_family
from synthcohort.gan.trainer import Material, train_generator
from synthcohort.measures.distances import COPY_ALARM

HELD_OUT = 200


@pytest.mark.parametrize(
    ("count", "kimg", "augmentation", "copies"),
    [(50, 75, 0.0, True), (50, 60, None, False), (1500, 24, 0.0, False)],
    ids=["few", "few, adaptive augmentation", "enough"],
)
def test_a_training_on_few_images_raises_the_alarm(
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
    count: int,
    kimg: int,
    augmentation: float | None,
    copies: bool,
) -> None:
    torch.set_num_threads(1)
    monkeypatch.setattr(logging.getLogger("synthcohort"), "propagate", True)
    images = make_images(tmp_path / "store", draw_faces(count + HELD_OUT, 1))
    family = load_family("r3-gan")
    settings = resolve_settings(
        family.presets, "tiny", 16,
        widths=(48, 24), batch=16, learning_rate=1.2e-3, penalty=0.03, kimg=kimg, augmentation=augmentation,
    )  # fmt: skip
    material = Material(images.store, np.arange(count), np.arange(count, count + HELD_OUT))
    train_generator(material, family, settings, StopRule(patience=0), 0, tmp_path / "run", CPU, KINDS)

    copied = pd.read_csv(tmp_path / "run" / "history.csv")["copied"].dropna()
    assert read_json(tmp_path / "run" / "generator.json")["copied"] == pytest.approx(copied.iloc[-1])
    assert copied.iloc[0] < 0.01
    if copies:
        assert copied.iloc[-1] > 2 * COPY_ALARM
        assert "MEMORISATION" in caplog.text
    else:
        assert copied.max() < 0.01
        assert "MEMORISATION" not in caplog.text
