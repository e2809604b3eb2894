"""The processor's bfloat16 kernels round the gradients of a step, and do nothing else to them."""

import os
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from gan_toys import CPU, draw_faces, make_images
from synthcohort.gan import training as module
from synthcohort.gan.data import TrainingImages
from synthcohort.gan.presets import resolve_settings
from synthcohort.gan.registry import load_family
from synthcohort.gan.training import Training


@pytest.mark.parametrize("widths", [(64, 48, 32), (8, 6, 6)])
@pytest.mark.parametrize("family", ["r3-gan", "cpd-gan", "prog-gan"])
def test_gradients_of_fast_kernels_are_those_of_plain_ones(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, family: str, widths: tuple[int, ...]
) -> None:
    torch.set_num_threads(1)
    monkeypatch.setattr(module, "bfloat16_helps", lambda device: True)
    images = make_images(tmp_path / "store", draw_faces(64, 1))
    chosen = load_family(family)
    settings = resolve_settings(chosen.presets, "tiny", 16, widths=widths, batch=8, kimg=1)

    def gradients(*, fast: bool) -> dict[str, Tensor]:
        training = Training(chosen, settings, TrainingImages(images.store, np.arange(64), CPU), 1, 2, 0)
        with torch.backends.mkldnn.flags(enabled=fast):
            training.advance()
        players = {"generator": training.players.generator, "discriminator": training.players.discriminator}
        return {
            f"{player} {name}": parameter.grad
            for player, network in players.items()
            for name, parameter in network.named_parameters()
            if parameter.grad is not None
        }

    fast, plain = gradients(fast=True), gradients(fast=False)
    assert len(plain) > 10
    for name, expected in plain.items():
        # Sums in another order round otherwise: up to 5 %. With AMX a discriminator's gradients were 20 and 41 % off.
        assert (fast[name] - expected).norm() <= 0.1 * expected.norm(), name


def test_amx_is_not_used() -> None:
    assert os.environ["ONEDNN_MAX_CPU_ISA"] == "AVX512_CORE_BF16"
