"""Losses, penalties, layers and networks of the generators against numbers worked out by hand."""

import math

import numpy as np
import pytest
import torch
from torch import nn

from synthcohort.core.errors import UserError
from synthcohort.gan import r3_gan
from synthcohort.gan.data import random_stream
from synthcohort.gan.family import Batch, Players
from synthcohort.gan.guide import FeatureHead, Views
from synthcohort.gan.layers import ProjectionScore, ResidualBlock, byte_images, float_images
from synthcohort.gan.objective import discriminator_loss, generator_loss, gradient_penalties
from synthcohort.gan.presets import R3_GAN, Settings, resolve_settings
from synthcohort.gan.registry import FAMILIES

SETTINGS = Settings(16, (8, 6), 1, 4, 1e-3, 1.0, kimg=0.1, tick_kimg=0.05, latent=8)


class SmoothGuide(nn.Module):
    def __init__(self, channels: int) -> None:
        super().__init__()
        self.first = nn.Conv2d(channels, 5, 3, stride=2, padding=1)
        self.second = nn.Conv2d(5, 7, 3, stride=2, padding=1)

    def features(self, images: torch.Tensor) -> list[torch.Tensor]:
        fine = torch.tanh(self.first(images))
        return [fine, torch.tanh(self.second(fine))]


def make_players(channels: int, guided: bool) -> Players:
    torch.manual_seed(0)
    sample = torch.randint(0, 256, (16, channels, 16, 16), dtype=torch.uint8)
    views = Views(SmoothGuide(channels) if guided else None, sample)
    architecture = r3_gan.architecture(SETTINGS, channels, findings=3)
    generator = r3_gan.Generator(**architecture)
    discriminator = r3_gan.Discriminator(**architecture, feature_widths=views.feature_widths)
    optimizers = [torch.optim.SGD(network.parameters(), 0.0) for network in (generator, discriminator)]
    return Players(generator, discriminator, optimizers[0], optimizers[1], views)


def make_batch(channels: int, step: int = 1, progress: float = 0.0) -> Batch:
    torch.manual_seed(1)
    labels = torch.tensor([[0.0, 0, 1], [1, 1, 0], [0, 0, 0], [1, 0, 0]])
    return Batch(torch.rand(4, channels, 16, 16) * 2 - 1, labels, torch.randn(4, 8), step, progress)


def test_pairing_losses_by_hand() -> None:
    real, fake = torch.tensor([2.0, -1.0]), torch.tensor([0.5, 1.0])
    expected = (math.log(1 + math.exp(-1.5)) + math.log(1 + math.exp(2))) / 2
    assert discriminator_loss(real, fake).item() == pytest.approx(expected, rel=1e-6)
    expected = (math.log(1 + math.exp(1.5)) + math.log(1 + math.exp(-2))) / 2
    assert generator_loss(real, fake).item() == pytest.approx(expected, rel=1e-6)


def test_gradient_penalty_of_a_linear_score_is_half_its_squared_weights() -> None:
    weights = torch.tensor([1.0, -2.0, 3.0])
    images = torch.randn(5, 3, requires_grad=True)
    (penalty,) = gradient_penalties((images @ weights)[None], [images])
    assert penalty.item() == pytest.approx((1 + 4 + 9) / 2, rel=1e-6)


@pytest.mark.parametrize("channels", [1, 3])
def test_gradient_penalties_agree_with_finite_differences(channels: int) -> None:
    players = make_players(channels, guided=True)
    discriminator = players.discriminator.double()
    views = [view.double().requires_grad_() for view in players.views(make_batch(channels).images)]
    labels = make_batch(channels).labels.double()
    with torch.no_grad():  # the zero-initialised layers must take part
        for parameter in discriminator.parameters():
            parameter.add_(0.05 * torch.randn(parameter.shape, dtype=torch.float64))

    heads = [discriminator.image, *discriminator.heads]
    scores = torch.stack([head(view, labels) for head, view in zip(heads, views, strict=True)])
    penalties = gradient_penalties(scores, views)
    width = 1e-7  # small, so that no activation changes its side
    for number, view in enumerate(views):
        total = 0.0
        with torch.no_grad():
            for position in range(view[0].numel()):
                nudge = torch.zeros_like(view).flatten(1)
                nudge[:, position] = width
                nudge = nudge.view_as(view)
                slope = (heads[number](view + nudge, labels) - heads[number](view - nudge, labels)) / (2 * width)
                total += slope.square().sum().item()
        assert penalties[number].item() == pytest.approx(total / (2 * len(view)), rel=1e-5)


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("guided", [False, True])
def test_one_backward_pass_gives_both_players_their_gradients(channels: int, guided: bool) -> None:
    players, batch = make_players(channels, guided), make_batch(channels)
    r3_gan.step(players, batch, SETTINGS)
    found = {
        "generator": [p.grad.clone() for p in players.generator.parameters()],
        "discriminator": [p.grad.clone() for p in players.discriminator.parameters()],
    }
    players.generator.zero_grad()
    players.discriminator.zero_grad()
    fakes = players.generator(batch.latents, batch.labels)
    real = players.discriminator(players.views(batch.images), batch.labels)
    fake = players.discriminator(players.views(fakes), batch.labels)
    weights = [1.0] + [SETTINGS.guide_weight] * (len(real) - 1)
    for name, loss in (("generator", generator_loss), ("discriminator", discriminator_loss)):
        total = sum(w * loss(r, f) for w, r, f in zip(weights, real, fake, strict=True))
        parameters = list(getattr(players, name).parameters())
        expected = torch.autograd.grad(total, parameters, retain_graph=True)
        assert any(gradient.abs().max() > 0 for gradient in expected)
        for gradient, want in zip(found[name], expected, strict=True):
            torch.testing.assert_close(gradient, want, rtol=2e-4, atol=1e-6)


def test_penalties_are_lazy_weighted_by_their_interval_and_decay() -> None:
    gradients = {}
    for step, progress in ((1, 0.0), (4, 0.0), (4, 0.9)):
        players = make_players(1, guided=False)
        report = r3_gan.step(players, make_batch(1, step, progress), SETTINGS)
        assert ("penalty" in report) == (step == 4)
        gradients[step, progress] = players.discriminator.image.image.weight.grad.clone()
    early = gradients[4, 0.0] - gradients[1, 0.0]
    late = gradients[4, 0.9] - gradients[1, 0.0]
    torch.testing.assert_close(late, early * r3_gan.PENALTY_FLOOR, rtol=1e-3, atol=1e-6)

    players, batch = make_players(1, guided=False), make_batch(1)
    fakes = players.generator(batch.latents, batch.labels).detach()
    both = [torch.cat([batch.images, fakes]).requires_grad_()]
    penalty = gradient_penalties(players.discriminator(both, batch.labels.repeat(2, 1)), both)[0]
    wanted = 2 * SETTINGS.gamma * SETTINGS.penalty_interval * penalty
    weight = players.discriminator.image.image.weight
    torch.testing.assert_close(early, torch.autograd.grad(wanted, weight)[0], rtol=1e-3, atol=1e-6)


def test_projection_scores_with_an_unconditional_term() -> None:
    score = ProjectionScore(2, 3)
    with torch.no_grad():
        score.unconditional.weight.copy_(torch.tensor([[1.0, 2.0]]))
        score.unconditional.bias.fill_(0.5)
        score.conditional.weight.copy_(torch.tensor([[1.0, 0.0, 2.0], [0.0, 3.0, -1.0]]))
    features = torch.tensor([[1.0, -1.0], [1.0, -1.0]])
    labels = torch.tensor([[0.0, 0.0, 0.0], [1.0, 0.0, 1.0]])
    # u·f + b = 1 − 2 + 0.5; V y = (3, −1), so (V y)·f = 4, over √2
    torch.testing.assert_close(score(features, labels), torch.tensor([-0.5, -0.5 + 4 / math.sqrt(2)]))


def test_residual_block_starts_as_the_identity_and_still_learns() -> None:
    block = ResidualBlock(4)
    features = torch.randn(2, 4, 8, 8)
    torch.testing.assert_close(block(features), features, rtol=0, atol=0)
    block(features).square().sum().backward()
    assert block.last.weight.grad.abs().max() > 0


@pytest.mark.parametrize("side", [8, 16, 32, 64, 128, 256, 512])
@pytest.mark.parametrize("channels", [1, 3])
def test_networks_of_every_resolution(side: int, channels: int) -> None:
    preset = R3_GAN[side]
    assert preset.resolution == side
    widths = (4,) * len(preset.widths)
    settings = Settings(side, widths, 1, 2, 1e-3, 1.0, kimg=1, tick_kimg=1, latent=8)
    architecture = r3_gan.architecture(settings, channels, findings=2)
    labels = torch.tensor([[0.0, 0.0], [1.0, 1.0]])
    images = r3_gan.Generator(**architecture)(torch.randn(2, 8), labels)
    assert images.shape == (2, channels, side, side)
    scores = r3_gan.Discriminator(**architecture, feature_widths=[])([images], labels)
    assert scores.shape == (1, 2)
    widest = side // r3_gan.patch_side(side, list(preset.widths))
    assert widest == side // 2


def test_networks_normalise_nothing() -> None:
    players = make_players(1, guided=True)
    for network in (players.generator, players.discriminator):
        kinds = {type(module).__name__ for module in network.modules()}
        assert not [kind for kind in kinds if "Norm" in kind]


def test_guide_is_frozen_and_its_features_standardised() -> None:
    guide = SmoothGuide(1)
    sample = torch.randint(0, 256, (64, 1, 16, 16), dtype=torch.uint8)
    views = Views(guide, sample)
    assert not any(parameter.requires_grad for parameter in guide.parameters())
    assert views.feature_widths == [5, 7]
    image, fine, coarse = views(float_images(sample))
    torch.testing.assert_close(image, float_images(sample))
    for view in (fine, coarse):
        torch.testing.assert_close(view.mean((0, 2, 3)), torch.zeros(view.shape[1]), rtol=0, atol=1e-4)
        torch.testing.assert_close(view.std((0, 2, 3)), torch.ones(view.shape[1]), rtol=1e-3, atol=0)
    assert FeatureHead(5, 6, 2)(fine, torch.zeros(64, 2)).shape == (64,)


def test_bytes_and_floats_are_inverse() -> None:
    every = torch.arange(256, dtype=torch.uint8)
    assert torch.equal(byte_images(float_images(every)), every)
    assert byte_images(torch.tensor([-1.7, 1.7])).tolist() == [0, 255]


def test_random_streams_are_independent_of_each_other_and_repeatable() -> None:
    first = random_stream(5, "order", 3).random(4)
    np.testing.assert_array_equal(first, random_stream(5, "order", 3).random(4))
    for other in (random_stream(5, "order", 4), random_stream(5, "latents", 3), random_stream(6, "order", 3)):
        assert not np.intersect1d(first, other.random(1000)).size


def test_settings_come_from_the_preset_and_the_config() -> None:
    assert resolve_settings(R3_GAN, 32, {}).kimg == R3_GAN[32].kimg
    settings = resolve_settings(R3_GAN, 32, {32: 1.5, 16: 3.0}, horizontal_flip=True)
    assert (settings.kimg, settings.horizontal_flip, settings.widths) == (1.5, True, R3_GAN[32].widths)
    with pytest.raises(UserError, match="1024"):
        resolve_settings(R3_GAN, 1024, {})


def test_registry_names_families_as_the_config_does() -> None:
    assert list(FAMILIES) == ["r3-gan"]
    assert set(FAMILIES["r3-gan"].presets) == {8, 16, 32, 64, 128, 256, 512}
