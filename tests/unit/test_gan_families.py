"""The paper's families and the table of presets: counts, scores and gradients worked out a second way."""

import copy
from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from gan_toys import make_batch, make_images
from synthcohort.core.errors import UserError
from synthcohort.core.families import FAMILIES
from synthcohort.gan import cpd_gan, prog_gan, r3_gan
from synthcohort.gan.data import TrainingImages
from synthcohort.gan.family import Family, Players
from synthcohort.gan.guide import Views
from synthcohort.gan.presets import CPD_GAN, MINIMA, PROG_GAN, R3_GAN, paper_widths, resolve_settings
from synthcohort.gan.registry import load_family
from synthcohort.gan.settings import WassersteinSettings
from synthcohort.gan.training import Training

SETTINGS = WassersteinSettings(16, (8, 8, 6), 4, 1e-3, 10.0, kimg=0.1, tick_kimg=0.05, latent=8)
EVERY = [load_family(name) for name in FAMILIES]


def make_players(family: Family, settings: WassersteinSettings, channels: int) -> Players:
    torch.manual_seed(0)
    architecture = family.architecture(settings, channels, 3)
    generator = family.generator(**architecture)
    return Players(generator, family.discriminator(**architecture, feature_widths=[]), Views(None, torch.empty(0)))


def parameters(network: nn.Module) -> int:
    return sum(parameter.numel() for parameter in network.parameters())


# The paper's families, widths by hand: 16384 / 2^stage, at most 512; 4² is stage 1.
PAPER_WIDTHS = {
    32: [512, 512, 512, 512],
    64: [512, 512, 512, 512, 512],
    128: [512, 512, 512, 512, 512, 256],
    256: [512, 512, 512, 512, 512, 256, 128],
    512: [512, 512, 512, 512, 512, 256, 128, 64],
}


@pytest.mark.parametrize("side", PAPER_WIDTHS)
def test_widths_of_the_paper(side: int) -> None:
    assert list(paper_widths(side)) == PAPER_WIDTHS[side]
    assert list(CPD_GAN["paper", side].widths) == PAPER_WIDTHS[side]


@pytest.mark.parametrize("side", PAPER_WIDTHS)
@pytest.mark.parametrize("unconditional", [False, True])
def test_parameters_of_cpd_gan_at_the_widths_of_the_paper(side: int, unconditional: bool) -> None:
    """512 latents, 14 findings, one channel, counted layer by layer."""
    w, c = PAPER_WIDTHS[side], 512 + 14
    norms = [2 * (c * width + width) for width in w]  # scale and shift, linear in the condition
    generator = (c * 16 * w[0] + 16 * w[0]) + norms[0]  # 4² from the condition, normalised
    generator += sum(9 * width**2 + width + norm for width, norm in zip(w, norms, strict=True))  # last 3×3 of a side
    generator += sum(9 * a * b + b + norm for (a, b), norm in zip(pairwise(w), norms[1:], strict=True))  # first 3×3
    generator += sum(width + 1 for width in w)  # 1×1 to an image, at every side

    discriminator = 2 * w[-1]  # 1×1 from the image
    for fine, coarse in pairwise(w[::-1]):
        discriminator += (9 * fine**2 + fine) + (9 * fine * coarse + coarse) + fine * coarse  # 3×3, 3×3, skip
    discriminator += 9 * (w[0] + 1) * w[0] + w[0]  # 3×3 with the deviation's channel
    discriminator += 16 * w[0] ** 2 + w[0]  # dense
    scores = 14 + unconditional
    discriminator += w[0] * scores + scores

    settings = replace(CPD_GAN["paper", side], unconditional_term=unconditional)
    with torch.device("meta"):
        architecture = cpd_gan.architecture(settings, 1, 14)
        built = cpd_gan.Generator(**architecture), cpd_gan.Discriminator(**architecture, feature_widths=[])
    assert [parameters(network) for network in built] == [generator, discriminator]


@pytest.mark.parametrize("side", [8, 32, 256])
def test_parameters_of_prog_gan(side: int) -> None:
    """Counted layer by layer; while a side fades in, the image layers of two sides are there."""
    w = list(PROG_GAN["paper", side].widths)
    two = w[-2:] if side > 8 else w[-1:]
    generator = (512 + 6) * 16 * w[0] + 16 * w[0]
    generator += sum(9 * a * b + b for a, b in pairwise(w)) + sum(9 * width**2 + width for width in w)
    generator += sum(3 * width + 3 for width in two)
    discriminator = sum(3 * width + width for width in two)
    discriminator += sum(9 * b**2 + b + 9 * b * a + a for a, b in pairwise(w))
    discriminator += 9 * (w[0] + 1) * w[0] + w[0] + 16 * w[0] ** 2 + w[0] + 7 * w[0] + 7
    with torch.device("meta"):
        architecture = prog_gan.architecture(PROG_GAN["paper", side], 3, 6)
        built = prog_gan.Generator(**architecture), prog_gan.Discriminator(**architecture, feature_widths=[])
    assert [parameters(network) for network in built] == [generator, discriminator]


@pytest.mark.parametrize("channels", [1, 3])
def test_scores_are_weighted_by_labels(channels: int) -> None:
    discriminator = make_players(cpd_gan.FAMILY, SETTINGS, channels).discriminator
    with torch.no_grad():
        discriminator.scores.bias.copy_(torch.tensor([1.0, 10.0, 100.0]))
    images = make_batch(channels).images

    def score(*labels: float) -> Tensor:
        return discriminator.score(images, torch.tensor([labels] * 4))

    single = [score(1, 0, 0), score(0, 1, 0), score(0, 0, 1)]
    assert torch.equal(score(0, 0, 0), torch.zeros(4))
    torch.testing.assert_close(score(1, 1, 0), single[0] + single[1])
    torch.testing.assert_close(score(1, 1, 1), single[0] + single[1] + single[2])
    torch.testing.assert_close(score(2, 0, 0), 2 * single[0])
    assert single[2].min() > single[1].max() > single[0].max()


def test_the_unconditional_term_is_one_more_score_for_every_image() -> None:
    settings = replace(SETTINGS, unconditional_term=True)
    discriminator = make_players(cpd_gan.FAMILY, settings, 1).discriminator
    batch = make_batch(1)
    with torch.no_grad():
        discriminator.scores.weight.zero_()
        discriminator.scores.bias.copy_(torch.tensor([1.0, 10.0, 100.0, 0.5]))
    # The labels are 001, 110, 000, 100.
    torch.testing.assert_close(discriminator.score(batch.images, batch.labels), torch.tensor([100.5, 11.5, 0.5, 1.5]))


def test_prog_gans_scores_do_not_depend_on_labels() -> None:
    discriminator = make_players(prog_gan.FAMILY, SETTINGS, 1).discriminator
    batch = make_batch(1)
    scores, logits = discriminator(batch.images)
    assert logits.shape == (4, 3)
    assert torch.equal(discriminator.score(batch.images, batch.labels), scores)
    assert torch.equal(discriminator.score(batch.images, 1 - batch.labels), scores)


def distort(images: Tensor) -> Tensor:
    """A deterministic augmentation, to see that it is applied."""
    return torch.sin(2 * images).roll(3, -1)


def wanted_gradients(
    players: Players, real: Tensor, fake: Tensor, mix: Tensor, drift: float, judge: Callable[[Tensor], tuple]
) -> dict[str, tuple[Tensor, ...]]:
    """The two losses, each written out and differentiated on its own; λ is 10."""
    fake_score, fake_labels = judge(fake)
    real_score, real_labels = judge(real)
    between = ((1 - mix) * real + mix * fake).detach().requires_grad_()
    (slope,) = torch.autograd.grad(judge(between)[0].sum(), between, create_graph=True)
    penalty = ((slope.square().sum((1, 2, 3)).sqrt() - 1) ** 2).mean()
    critic = fake_score.mean() - real_score.mean() + drift * (real_score**2).mean() + 10 * penalty
    losses = {"generator": fake_labels - fake_score.mean(), "discriminator": critic + real_labels + fake_labels}
    return {
        name: torch.autograd.grad(loss, list(getattr(players, name).parameters()), retain_graph=True)
        for name, loss in losses.items()
    }


def assert_gradients(players: Players, wanted: dict[str, tuple[Tensor, ...]]) -> None:
    for name, gradients in wanted.items():
        assert max(gradient.abs().max() for gradient in gradients) > 0
        for parameter, gradient in zip(getattr(players, name).parameters(), gradients, strict=True):
            found = torch.zeros_like(gradient) if parameter.grad is None else parameter.grad
            torch.testing.assert_close(found, gradient, rtol=1e-3, atol=1e-5 * (1 + gradient.abs().max().item()))


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("unconditional", [False, True])
def test_one_step_of_cpd_gan_leaves_both_players_gradients(channels: int, unconditional: bool) -> None:
    settings = replace(SETTINGS, unconditional_term=unconditional, drift=0.05)
    players, batch = make_players(cpd_gan.FAMILY, settings, channels), make_batch(channels, augment=distort)
    report = cpd_gan.backward(players, batch, settings)
    assert {"loss_discriminator", "score_real", "score_fake", "penalty"} == set(report)

    def judge(images: Tensor) -> tuple[Tensor, float]:
        return players.discriminator.score(images, batch.labels), 0.0

    fake = distort(players.generator(batch.latents, batch.labels))
    assert_gradients(players, wanted_gradients(players, distort(batch.images), fake, batch.mix, 0.05, judge))


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("progress", [0.2, 0.9])
def test_one_step_of_prog_gan_leaves_both_players_gradients(channels: int, progress: float) -> None:
    settings = replace(SETTINGS, label_weight=0.7, drift=0.05)
    players = make_players(prog_gan.FAMILY, settings, channels)
    batch = make_batch(channels, augment=distort, progress=progress)
    report = prog_gan.backward(players, batch, settings)
    assert {"label_loss_real", "label_loss_fake", "penalty", "fade"} <= set(report)

    shares = torch.tensor([[0.0, 0, 1], [0.5, 0.5, 0], [0, 0, 0], [1, 0, 0]])

    def judge(images: Tensor) -> tuple[Tensor, Tensor]:
        scores, logits = players.discriminator(images)
        return scores, 0.7 * -(shares * torch.log(torch.softmax(logits, 1))).sum(1).mean()

    fade = min(1.0, progress / 0.5)
    coarse = batch.images.unflatten(3, (-1, 2)).unflatten(2, (-1, 2)).mean((3, 5))
    coarse = coarse.repeat_interleave(2, 2).repeat_interleave(2, 3)
    real = distort((1 - fade) * coarse + fade * batch.images)
    fake = distort(players.generator(batch.latents, batch.labels))
    assert_gradients(players, wanted_gradients(players, real, fake, batch.mix, 0.05, judge))


@pytest.mark.parametrize("family", [family for family in EVERY if not family.training], ids=lambda family: family.name)
def test_gradients_of_two_calls_add_up(family: Family) -> None:
    """So that a batch can be computed in parts."""
    settings = replace(family.presets["tiny", 16], widths=(8, 6) if family is r3_gan.FAMILY else (8, 8, 6), latent=8)
    players = make_players(family, settings, 1)
    family.backward(players, make_batch(1), settings)
    networks = (players.generator, players.discriminator)
    once = [parameter.grad.clone() for network in networks for parameter in network.parameters()]
    family.backward(players, make_batch(1), settings)
    twice = [parameter.grad for network in networks for parameter in network.parameters()]
    for first, both in zip(once, twice, strict=True):
        torch.testing.assert_close(both, 2 * first, rtol=1e-3, atol=1e-5 * (1 + first.abs().max().item()))


@pytest.mark.parametrize("name", FAMILIES)
def test_families_of_the_registry_load_and_say_their_own_name(name: str) -> None:
    family = load_family(name)
    assert family.name == name
    network = make_players(family, replace(family.presets["tiny", 8], widths=(4, 4)), 1).generator
    assert hasattr(network, "fade") == FAMILIES[name].grows


def test_there_is_no_other_family() -> None:
    with pytest.raises(UserError, match="no generator family 'style-gan'; there are prog-gan, cpd-gan"):
        load_family("style-gan")


@pytest.mark.parametrize(
    ("family", "first", "scale", "sides"),
    [
        ("r3-gan", 8, "tiny", 64),
        ("r3-gan", 16, "small", 256),
        ("r3-gan", 32, "paper", 512),
        ("cpd-gan", 8, "tiny", 64),
        ("cpd-gan", 16, "small", 256),
        ("cpd-gan", 32, "paper", 512),
        ("prog-gan", 8, "tiny", 64),
        ("prog-gan", 8, "small", 256),
        ("prog-gan", 8, "paper", 512),
        ("dp-gan", 8, "tiny", 32),
        ("dp-gan", 16, "small", 64),
    ],
)
def test_every_family_has_presets_of_every_scale_without_gaps(family: str, first: int, scale: str, sides: int) -> None:
    found = [side for name, side in load_family(family).presets if name == scale]
    assert found == [2**power for power in range(first.bit_length() - 1, sides.bit_length())]


@pytest.mark.parametrize(
    ("family", "scale", "side"),
    [(family, *key) for family in EVERY for key in family.presets],
    ids=lambda value: getattr(value, "name", str(value)),
)
def test_networks_of_every_preset(family: Family, scale: str, side: int) -> None:
    preset = family.presets[scale, side]
    assert preset.resolution == side
    with torch.device("meta"):  # at their own widths
        architecture = family.architecture(preset, 3, 14)
        generator = family.generator(**architecture)
        discriminator = family.discriminator(**architecture, feature_widths=[])
        labels = torch.zeros(2, 14)
        images = generator(torch.zeros(2, preset.latent), labels)
        assert images.shape == (2, 3, side, side)
        assert discriminator.score(images, labels).shape == (2,)

    if side > 32:
        return  # a step's test has numbers there
    small = replace(preset, widths=(4,) * len(preset.widths), latent=8)
    architecture = family.architecture(small, 1, 2)
    generator = family.generator(**architecture)
    discriminator = family.discriminator(**architecture, feature_widths=[])
    with torch.no_grad():
        images = generator(torch.randn(2, 8), torch.eye(2))
        scores = discriminator.score(images, torch.eye(2))
    assert images.shape == (2, 1, side, side)
    assert (images.dtype, scores.dtype) == (torch.float32, torch.float32)
    assert torch.isfinite(images).all()
    assert torch.isfinite(scores).all()


@pytest.fixture(scope="module")
def finest(tmp_path_factory: pytest.TempPathFactory) -> TrainingImages:
    images = np.random.default_rng(0).integers(0, 256, (4, 1, 512, 512), np.uint8)
    return make_images(tmp_path_factory.mktemp("store"), images)


@pytest.mark.parametrize("side", [64, 128, 256, 512])
@pytest.mark.parametrize("family", [r3_gan.FAMILY, cpd_gan.FAMILY, prog_gan.FAMILY], ids=lambda family: family.name)
def test_a_step_at_every_side_up_to_512(family: Family, side: int, finest: TrainingImages) -> None:
    preset = family.presets["paper", side]
    settings = replace(preset, widths=(2,) * len(preset.widths), batch=2, latent=8, augmentation=0.5)
    data = TrainingImages(finest.store, finest.rows, finest.device, side)
    training = Training(family, settings, data, 1, 2, 1, augmentations=("translation", "cutout"))
    before = copy.deepcopy(training.players)
    training.advance()
    assert training.close_tick()["score_fake"] != 0  # and every mean is finite
    for name in ("generator", "discriminator"):
        pairs = zip(getattr(training.players, name).parameters(), getattr(before, name).parameters(), strict=True)
        moved = [not torch.equal(after, old) for after, old in pairs]
        assert all(parameter.isfinite().all() for parameter in getattr(training.players, name).parameters())
        assert sum(moved) > 0.5 * len(moved)


@pytest.mark.parametrize("scale", ["small", "paper"])
def test_the_penalty_of_r3_gan_grows_fourfold_per_doubling(scale: str) -> None:
    gammas = [settings.penalty for (name, _), settings in R3_GAN.items() if name == scale]
    assert [after / before for before, after in pairwise(gammas)] == pytest.approx([4] * (len(gammas) - 1))


@pytest.mark.parametrize("family", ["cpd-gan", "prog-gan"])
def test_constants_of_the_paper(family: str) -> None:
    presets = load_family(family).presets
    for settings in presets.values():
        assert (settings.penalty, settings.drift, settings.latent) == (10, 0.001, 512)
    at_32 = presets["paper", 32]
    assert at_32.learning_rate == {"cpd-gan": 0.005, "prog-gan": 0.001}[family]
    for (scale, _), settings in presets.items():
        if scale == "paper":  # averaged with 0.999 per step
            steps = settings.ema_kimg * 1000 / settings.batch
            assert 0.5 ** (1 / steps) == pytest.approx(0.999, abs=1e-6)
    if family == "cpd-gan":
        assert at_32.batch == 256
    else:
        assert [presets["paper", side].batch for side in (8, 16, 32, 64, 128)] == [256, 128, 64, 32, 16]
        # Karras et al. 2018, table 2
        assert presets["paper", 512].widths == (512, 512, 512, 512, 256, 128, 64, 32)


@pytest.mark.parametrize(("side", "total", "minimum"), [(32, 12_000, 7000), (64, 14_000, 7000), (128, 16_000, 9000)])
def test_lengths_and_minima_of_the_paper(side: int, total: float, minimum: float) -> None:
    """prog-gan's include the growth, whose phases are 1.4 million images below 64² and 1.0 million from there up."""
    last = CPD_GAN["paper", side].kimg
    assert (last, MINIMA["cpd-gan", "paper", side] * last) == pytest.approx((total, minimum))
    phase = 1400 if side == 32 else 1000
    sides = [8 * 2**level for level in range(side.bit_length() - 4)]
    stages = [resolve_settings(PROG_GAN, "paper", stage, on_the_way=side) for stage in sides]
    assert [stage.kimg for stage in stages] == [phase] + [2 * phase] * (len(sides) - 1)
    last = PROG_GAN["paper", side]
    assert {stage.fade_kimg for stage in [*stages, last]} == {phase}
    grown = sum(stage.kimg for stage in stages)
    assert grown + last.kimg == total
    assert grown + MINIMA["prog-gan", "paper", side] * last.kimg == pytest.approx(minimum)


def test_minima_are_published_for_the_papers_families_alone() -> None:
    assert {key[:2] for key in MINIMA} == {("cpd-gan", "paper"), ("prog-gan", "paper")}
    assert all(0 < share < 1 for share in MINIMA.values())


def test_r3_gan_averages_over_a_twentieth_of_long_trainings() -> None:
    half_lives = {key: settings.ema_kimg for key, settings in R3_GAN.items()}
    assert {half_lives["tiny", side] for side in (8, 16, 32, 64)} == {5}
    assert [half_lives["small", side] for side in (16, 32, 256)] == [50, 100, 250]
    assert {half_lives["paper", side] for side in (32, 64, 128, 256, 512)} == {500}


def test_stages_of_a_growth_have_the_widths_of_those_before() -> None:
    for (scale, side), settings in PROG_GAN.items():
        if side > 8:
            assert PROG_GAN[scale, side // 2].widths == settings.widths[:-1]


def test_settings_come_from_the_preset_and_the_changes() -> None:
    preset = R3_GAN["tiny", 32]
    assert resolve_settings(R3_GAN, "tiny", 32) == preset
    settings = resolve_settings(R3_GAN, "tiny", 32, kimg=1.5, horizontal_flip=True, augmentation=None)
    assert (settings.kimg, settings.horizontal_flip, settings.augmentation) == (1.5, True, None)
    assert settings.tick_kimg == pytest.approx(1.5 / 20)  # a training is watched as often, however short
    assert resolve_settings(R3_GAN, "paper", 32).tick_kimg == 20
    assert (
        replace(settings, kimg=preset.kimg, tick_kimg=preset.tick_kimg, horizontal_flip=False, augmentation=0) == preset
    )


def test_a_stage_on_the_way_is_shorter_unless_the_config_says_how_long() -> None:
    assert resolve_settings(PROG_GAN, "tiny", 8, on_the_way=32) == PROG_GAN["tiny", 8]
    assert resolve_settings(PROG_GAN, "tiny", 32, on_the_way=64).kimg == 2 * PROG_GAN["tiny", 32].fade_kimg == 10
    assert resolve_settings(PROG_GAN, "tiny", 32, on_the_way=64, kimg=3.0).kimg == 3
    assert resolve_settings(PROG_GAN, "tiny", 32).kimg == PROG_GAN["tiny", 32].kimg == 32


def test_a_preset_that_is_missing_names_those_there() -> None:
    with pytest.raises(UserError, match=r"no preset of scale small for resolution 512; .*: 16, 32, 64, 128, 256\.$"):
        resolve_settings(R3_GAN, "small", 512)
