"""Losses, penalties, layers and steps of the generators against numbers worked out by hand."""

import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from gan_toys import make_batch, make_images
from synthcohort.core.errors import UserError
from synthcohort.gan import r3_gan
from synthcohort.gan.data import random_stream
from synthcohort.gan.equalized import (
    ConditionalPixelNorm,
    EqualizedConv2d,
    EqualizedLinear,
    append_deviation,
    pixel_norm,
)
from synthcohort.gan.family import Players
from synthcohort.gan.guide import FeatureHead, Views
from synthcohort.gan.layers import ProjectionScore, ResidualBlock, byte_images, float_images
from synthcohort.gan.objective import (
    discriminator_loss,
    generator_loss,
    gradient_penalties,
    interpolation_penalty,
    label_loss,
    wasserstein_loss,
)
from synthcohort.gan.settings import R3Settings
from synthcohort.gan.training import EMA_WARM_UP, Training

SETTINGS = R3Settings(16, (8, 6), 4, 1e-3, 1.0, kimg=0.1, tick_kimg=0.05, latent=8)


class SmoothGuide(nn.Module):
    def __init__(self, channels: int) -> None:
        super().__init__()
        self.first = nn.Conv2d(channels, 5, 3, stride=2, padding=1)
        self.second = nn.Conv2d(5, 7, 3, stride=2, padding=1)

    def features(self, images: Tensor) -> list[Tensor]:
        fine = torch.tanh(self.first(images))
        return [fine, torch.tanh(self.second(fine))]


def make_players(channels: int, guided: bool) -> Players:
    torch.manual_seed(0)
    views = Views(SmoothGuide(channels) if guided else None, torch.rand(16, channels, 16, 16) * 2 - 1)
    architecture = r3_gan.architecture(SETTINGS, channels, findings=3)
    generator = r3_gan.Generator(**architecture)
    discriminator = r3_gan.Discriminator(**architecture, feature_widths=views.feature_widths)
    return Players(generator, discriminator, views)


def slopes(function: Callable[[Tensor], Tensor], images: Tensor, width: float) -> Tensor:
    """Slope of each of a function's N values along each pixel of its own image, by central differences."""
    found = []
    with torch.no_grad():
        for position in range(images[0].numel()):
            nudge = torch.zeros_like(images).flatten(1)
            nudge[:, position] = width
            nudge = nudge.view_as(images)
            found.append((function(images + nudge) - function(images - nudge)) / (2 * width))
    return torch.stack(found, 1)


def test_pairing_losses_by_hand() -> None:
    real, fake = torch.tensor([2.0, -1.0]), torch.tensor([0.5, 1.0])
    expected = (math.log(1 + math.exp(-1.5)) + math.log(1 + math.exp(2))) / 2
    assert discriminator_loss(real, fake).item() == pytest.approx(expected, rel=1e-6)
    expected = (math.log(1 + math.exp(1.5)) + math.log(1 + math.exp(-2))) / 2
    assert generator_loss(real, fake).item() == pytest.approx(expected, rel=1e-6)


def test_wasserstein_loss_by_hand() -> None:
    real, fake = torch.tensor([2.0, -4.0]), torch.tensor([0.5, 1.5])
    # mean fake 1, mean real −1, mean real² 10
    assert wasserstein_loss(real, fake, 0.0).item() == pytest.approx(2.0)
    assert wasserstein_loss(real, fake, 0.001).item() == pytest.approx(2.01)


def test_label_loss_by_hand() -> None:
    log3 = math.log(3.0)
    logits = torch.tensor([[0.0, log3], [0.0, log3], [log3, 5.0]])  # shares 1/4 and 3/4 in the first two rows
    labels = torch.tensor([[0.0, 1.0], [1.0, 1.0], [0.0, 0.0]])
    one = -math.log(3 / 4)
    both = -(math.log(1 / 4) + math.log(3 / 4)) / 2  # two labels share the sum of 1
    assert label_loss(logits, labels).item() == pytest.approx((one + both + 0) / 3, rel=1e-6)


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
    for head, view, penalty in zip(heads, views, penalties, strict=True):
        # small steps, so that no activation changes its side
        found = slopes(lambda nudged, head=head: head(nudged, labels), view.detach(), 1e-7)
        assert penalty.item() == pytest.approx(found.square().sum().item() / (2 * len(view)), rel=1e-5)


def test_interpolation_penalty_of_a_linear_critic_by_hand() -> None:
    weights = torch.tensor([3.0, -4.0]).view(1, 2, 1, 1)
    real, fake = torch.randn(5, 2, 1, 1), torch.randn(5, 2, 1, 1)
    penalty = interpolation_penalty(lambda x: (weights * x).sum((1, 2, 3)), real, fake, torch.rand(5, 1, 1, 1))
    assert penalty.item() == pytest.approx((5 - 1) ** 2, rel=1e-6)


def test_interpolation_penalty_looks_where_mix_says() -> None:
    real, fake = torch.full((3, 1, 1, 1), 2.0), torch.full((3, 1, 1, 1), 6.0)
    mix = torch.tensor([0.0, 0.25, 1.0]).view(3, 1, 1, 1)  # at 2, 3 and 6; x² has the slopes 4, 6 and 12
    penalty = interpolation_penalty(lambda x: x.square().sum((1, 2, 3)), real, fake, mix)
    assert penalty.item() == pytest.approx((3**2 + 5**2 + 11**2) / 3, rel=1e-6)


@pytest.mark.parametrize("channels", [1, 3])
def test_interpolation_penalty_agrees_with_finite_differences(channels: int) -> None:
    torch.manual_seed(0)
    critic = nn.Sequential(nn.Conv2d(channels, 4, 3), nn.Tanh(), nn.Flatten(), nn.Linear(64, 1), nn.Flatten(0)).double()
    real, fake = torch.randn(2, 3, channels, 6, 6, dtype=torch.float64)
    mix = torch.rand(3, 1, 1, 1, dtype=torch.float64)
    norms = slopes(critic, (1 - mix) * real + mix * fake, 1e-5).norm(dim=1)
    penalty = interpolation_penalty(critic, real, fake, mix)
    assert penalty.item() == pytest.approx((norms - 1).square().mean().item(), rel=1e-5)

    # It is differentiated again: the slope of the penalty itself along one of the critic's weights.
    (gradient,) = torch.autograd.grad(penalty, critic[0].weight)
    ends = []
    for nudge in (1e-2, -2e-2):  # wide, as the penalty is rounded to float32
        with torch.no_grad():
            critic[0].weight[0, 0, 1, 1] += nudge
        ends.append(interpolation_penalty(critic, real, fake, mix).item())
    assert gradient[0, 0, 1, 1].item() == pytest.approx((ends[0] - ends[1]) / 2e-2, rel=1e-2)


@pytest.mark.parametrize("channels", [1, 3])
def test_interpolation_penalty_of_a_critic_that_compares_images(channels: int) -> None:
    """With minibatch standard deviation a score depends on other images too: the gradient is that of all scores."""
    torch.manual_seed(0)
    weights = torch.randn(channels + 1, dtype=torch.float64)
    weights[-1] = 20.0

    def critic(images: Tensor) -> Tensor:
        return (append_deviation(images) * weights.view(1, -1, 1, 1)).mean((2, 3)).sum(1)

    real, fake = torch.randn(2, 4, channels, 3, 3, dtype=torch.float64)
    mix = torch.rand(4, 1, 1, 1, dtype=torch.float64)
    between = (1 - mix) * real + mix * fake

    def norms(own: bool) -> Tensor:
        rows = []
        for image in range(4):

            def total(moved: Tensor, image: int = image) -> Tensor:
                scores = critic(torch.cat([between[:image], moved, between[image + 1 :]]))
                return (scores[image] if own else scores.sum())[None]

            rows.append(slopes(total, between[image : image + 1], 1e-2)[0])
        return torch.stack(rows).norm(dim=1)

    penalty = interpolation_penalty(critic, real, fake, mix).item()
    assert penalty == pytest.approx((norms(own=False) - 1).square().mean().item(), rel=1e-3)
    assert penalty != pytest.approx((norms(own=True) - 1).square().mean().item(), rel=0.1)


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("guided", [False, True])
def test_one_backward_pass_gives_both_players_of_r3_gan_their_gradients(channels: int, guided: bool) -> None:
    def augment(images: Tensor) -> Tensor:
        return torch.sin(2 * images).roll(3, -1)

    players, batch = make_players(channels, guided), make_batch(channels, augment=augment)
    r3_gan.backward(players, batch, SETTINGS)
    found = {
        "generator": [p.grad.clone() for p in players.generator.parameters()],
        "discriminator": [p.grad.clone() for p in players.discriminator.parameters()],
    }
    fakes = players.generator(batch.latents, batch.labels)
    real = players.discriminator(players.views(augment(batch.images)), batch.labels)
    fake = players.discriminator(players.views(augment(fakes)), batch.labels)
    weights = [1.0] + [SETTINGS.guide_weight] * (len(real) - 1)
    for name, loss in (("generator", generator_loss), ("discriminator", discriminator_loss)):
        total = sum(w * loss(r, f) for w, r, f in zip(weights, real, fake, strict=True))
        parameters = list(getattr(players, name).parameters())
        expected = torch.autograd.grad(total, parameters, retain_graph=True)
        assert any(gradient.abs().max() > 0 for gradient in expected)
        for gradient, want in zip(found[name], expected, strict=True):
            torch.testing.assert_close(gradient, want, rtol=2e-4, atol=1e-6)


def test_penalties_are_lazy_weighted_by_their_interval_and_decay() -> None:
    settings = replace(SETTINGS, penalty=2.5, penalty_interval=4)
    gradients = {}
    for step, progress in ((1, 0.0), (4, 0.0), (4, 0.9)):
        players = make_players(1, guided=False)
        report = r3_gan.backward(players, make_batch(1, step=step, progress=progress), settings)
        assert ("penalty" in report) == (step == 4)
        gradients[step, progress] = players.discriminator.image.image.weight.grad.clone()
    early = gradients[4, 0.0] - gradients[1, 0.0]
    late = gradients[4, 0.9] - gradients[1, 0.0]
    torch.testing.assert_close(late, early * r3_gan.PENALTY_FLOOR, rtol=1e-3, atol=1e-6)

    players, batch = make_players(1, guided=False), make_batch(1)
    fakes = players.generator(batch.latents, batch.labels).detach()
    weight = players.discriminator.image.image.weight
    wanted = 0.0
    for images in (batch.images, fakes):  # R1 and R2, each γ/2 · mean ‖∇‖²
        seen = images.clone().requires_grad_()
        scores = players.discriminator([seen], batch.labels)[0]
        (slope,) = torch.autograd.grad(scores.sum(), seen, create_graph=True)
        wanted = wanted + 2.5 / 2 * slope.square().sum((1, 2, 3)).mean()
    expected = settings.penalty_interval * torch.autograd.grad(wanted, weight)[0]
    torch.testing.assert_close(early, expected, rtol=1e-3, atol=1e-6)


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


def test_r3_networks_normalise_nothing() -> None:
    players = make_players(1, guided=True)
    for network in (players.generator, players.discriminator):
        kinds = {type(module).__name__ for module in network.modules()}
        assert not [kind for kind in kinds if "Norm" in kind]


def test_equalised_layers_scale_unit_weights_by_fan_in_when_they_run() -> None:
    torch.manual_seed(0)
    conv, linear = EqualizedConv2d(50, 60, 3), EqualizedLinear(400, 300, gain=1)
    assert conv.scale == pytest.approx(math.sqrt(2 / (50 * 9)))
    assert linear.scale == pytest.approx(1 / 20)
    for layer in (conv, linear):
        assert layer.weight.std().item() == pytest.approx(1, abs=0.02)
        assert layer.weight.mean().item() == pytest.approx(0, abs=0.02)
        assert not layer.bias.any()
    plain = nn.functional.conv2d(torch.ones(1, 50, 5, 5), conv.weight * math.sqrt(2 / 450), padding=1)
    torch.testing.assert_close(conv(torch.ones(1, 50, 5, 5)), plain)
    assert EqualizedConv2d(2, 3, 1, bias=False).bias is None


def test_equalised_layers_keep_the_variance() -> None:
    torch.manual_seed(0)
    features = torch.randn(64, 400)
    assert EqualizedLinear(400, 300, gain=1)(features).var().item() == pytest.approx(1, abs=0.05)
    # He's gain makes up for the half that a rectifier cuts off.
    assert torch.relu(EqualizedLinear(400, 300)(features)).square().mean().item() == pytest.approx(1, abs=0.05)
    inner = EqualizedConv2d(40, 300, 3, gain=1)(torch.randn(4, 40, 12, 12))[:, :, 1:-1, 1:-1]
    assert inner.var().item() == pytest.approx(1, abs=0.05)


def test_pixel_norm_by_hand() -> None:
    features = torch.tensor([[3.0, 0.0], [4.0, 2.0]]).view(1, 2, 1, 2)
    found = pixel_norm(features)
    root = math.sqrt(12.5), math.sqrt(2)  # root mean squares of (3, 4) and (0, 2)
    torch.testing.assert_close(found[0, :, 0], torch.tensor([[3 / root[0], 0.0], [4 / root[0], 2 / root[1]]]))
    assert torch.isfinite(pixel_norm(torch.zeros(1, 2))).all()


def test_conditional_pixel_norm_by_hand() -> None:
    norm = ConditionalPixelNorm(2, 3)
    condition = torch.tensor([[1.0, 0.0, 2.0]])
    features = torch.tensor([3.0, 4.0]).view(1, 2, 1, 1)
    with torch.no_grad():
        for linear in (norm.scale, norm.shift):
            linear.weight.zero_()
    torch.testing.assert_close(norm(features, condition), pixel_norm(features))  # scale 1, shift 0 without a condition
    with torch.no_grad():
        norm.scale.weight.copy_(torch.tensor([[1.0, 0.0, 0.0], [0.0, 5.0, 1.0]]))
        norm.shift.weight.copy_(torch.tensor([[0.0, 0.0, 0.5], [-1.0, 0.0, 0.0]]))
    unit, third = math.sqrt(12.5), 1 / math.sqrt(3)  # weights are scaled by 1/√3
    expected = [3 / unit * (1 + third) + third, 4 / unit * (1 + 2 * third) - third]
    torch.testing.assert_close(norm(features, condition).flatten(), torch.tensor(expected))


def test_minibatch_deviation_by_hand_within_groups_of_neighbours() -> None:
    features = torch.zeros(8, 2, 1, 2)
    features[:4, 0, 0, 0] = torch.tensor([1.0, 1.0, 3.0, 3.0])  # deviation 1 at one of four numbers
    features[4:, 1, 0, 1] = torch.tensor([0.0, 0.0, 0.0, 8.0])  # mean 2, variance 12
    found = append_deviation(features)
    assert found.shape == (8, 3, 1, 2)
    assert torch.equal(found[:, :2], features)
    # positions without any deviation count √1e-8
    torch.testing.assert_close(found[:4, 2], torch.full((4, 1, 2), (1 + 3e-4) / 4))
    torch.testing.assert_close(found[4:, 2], torch.full((4, 1, 2), (math.sqrt(12) + 3e-4) / 4))


@pytest.mark.parametrize(("count", "size"), [(6, 3), (2, 2), (3, 3), (12, 4), (5, 1), (1, 1)])
def test_minibatch_deviation_of_a_batch_that_groups_of_four_do_not_fill(count: int, size: int) -> None:
    features = torch.arange(float(count)).square().view(count, 1, 1, 1)
    groups = features.view(-1, size)
    expected = (groups.var(1, unbiased=False) + 1e-8).sqrt().repeat_interleave(size)
    torch.testing.assert_close(append_deviation(features)[:, 1, 0, 0], expected)


def test_minibatch_deviation_of_equal_images_has_finite_gradients() -> None:
    features = torch.ones(4, 2, 3, 3, requires_grad=True)
    (first,) = torch.autograd.grad(append_deviation(features).square().sum(), features, create_graph=True)
    first.square().sum().backward()
    assert torch.isfinite(first).all()
    assert torch.isfinite(features.grad).all()


def test_averaged_weights_have_their_half_life(tmp_path: Path) -> None:
    data = make_images(tmp_path, np.zeros((8, 1, 16, 16), np.uint8), findings=3)
    settings = replace(SETTINGS, batch=4, ema_kimg=0.02)
    training = Training(r3_gan.FAMILY, settings, data, 1, 3, seed=1)
    average, current = training.average.base.weight, training.players.generator.base.weight

    def gap(step: int) -> float:
        """What is left of a gap of 1 after one update at that step."""
        with torch.no_grad():
            current.fill_(0.0)
            average.fill_(1.0)
        training.step = step
        training._update_average()
        return average.mean().item()

    assert gap(10_000) == pytest.approx(0.5 ** (4 / 20), rel=1e-5)  # 4 images of a half-life of 20
    # Early on the half-life is at most a share of the images seen, here 10 · 4.
    assert gap(10) == pytest.approx(0.5 ** (4 / (EMA_WARM_UP * 40)), rel=1e-5)


def test_divergence_stops_with_the_tick_and_what_to_change(tmp_path: Path) -> None:
    data = make_images(tmp_path, np.random.default_rng(0).integers(0, 256, (8, 1, 16, 16), np.uint8), findings=3)
    training = Training(r3_gan.FAMILY, replace(SETTINGS, learning_rate=1e30), data, 1, 3, seed=1)
    for _ in range(4):
        training.advance()
    with pytest.raises(UserError, match=r"r3-gan: training diverged in tick 1 .*lower learning_rate.*penalty"):
        training.close_tick()


def test_guide_is_frozen_and_its_features_standardised() -> None:
    guide = SmoothGuide(1)
    sample = torch.rand(64, 1, 16, 16) * 2 - 1
    views = Views(guide, sample)
    assert not any(parameter.requires_grad for parameter in guide.parameters())
    assert views.feature_widths == [5, 7]
    image, fine, coarse = views(sample)
    assert torch.equal(image, sample)
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
