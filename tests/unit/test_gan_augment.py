"""What augmentation may do to an image, how often, and that it follows from its random stream."""

import numpy as np
import pytest
import torch
from torch import Tensor

from synthcohort.gan import augment
from synthcohort.gan.augment import KINDS, Augmentation

GEOMETRIC = ("translation", "scaling", "rotation")


def apply(images: Tensor, kinds: tuple[str, ...], probability: float, seed: int = 0, **part: slice) -> Tensor:
    size = part.pop("size", len(images))
    return Augmentation(kinds, probability, np.random.default_rng(seed), size, **part)(images)


def pictures(count: int, channels: int = 1, side: int = 16) -> Tensor:
    return torch.rand(count, channels, side, side, generator=torch.Generator().manual_seed(0)) * 1.6 - 0.8


def changed(images: Tensor, found: Tensor) -> Tensor:
    return (found - images).abs().amax((1, 2, 3)) > 1e-4


@pytest.mark.parametrize(("kinds", "probability"), [(KINDS, 0.0), ((), 0.5)])
def test_without_probability_or_kinds_images_are_given_back_themselves(
    kinds: tuple[str, ...], probability: float
) -> None:
    images = pictures(3)
    assert apply(images, kinds, probability) is images


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("probability", [0.2, 0.5])
def test_each_kind_changes_its_share_of_the_images_and_passes_the_others(kind: str, probability: float) -> None:
    images = pictures(2000, side=8)
    share = changed(images, apply(images, (kind,), probability)).float().mean().item()
    assert share == pytest.approx(probability, abs=4 * (probability * (1 - probability) / 2000) ** 0.5)


def test_kinds_are_chosen_independently() -> None:
    images = pictures(2000, side=8)
    share = changed(images, apply(images, KINDS, 0.2)).float().mean().item()
    assert share == pytest.approx(1 - 0.8 ** len(KINDS), abs=0.045)


@pytest.mark.parametrize("kinds", [(kind,) for kind in GEOMETRIC] + [GEOMETRIC, KINDS], ids="+".join)
def test_no_kind_mirrors(kinds: tuple[str, ...]) -> None:
    """What is brighter on the left stays so: no augmented image may show the other side's finding."""
    images = torch.full((2000, 1, 16, 16), -0.8)
    images[..., :8] = 0.5
    found = apply(images, kinds, 0.8)
    left, right = found[..., :8].mean((1, 2, 3)), found[..., 8:].mean((1, 2, 3))
    assert changed(images, found).float().mean() > 0.3
    if "cutout" in kinds:  # a blank square can take most of a half, but not turn the order of an average image
        assert ((left - right) > 0).float().mean() > 0.95
    else:
        assert (left > right).all()
    upright = apply(images.mT, kinds, 0.8)
    top, bottom = upright[..., :8, :].mean((1, 2, 3)), upright[..., 8:, :].mean((1, 2, 3))
    assert (top > bottom).float().mean() > 0.95


def test_a_translation_reaches_an_eighth_of_the_side_and_continues_the_edge() -> None:
    images = torch.linspace(-1, 1, 32).view(1, 1, 1, 32).expand(3000, 1, 32, 32)
    found = apply(images, ("translation",), 0.99)
    step = 2 / 31  # a shift by s pixels moves the middle by s steps
    shifts = (found[:, 0, 16, 15:17].mean(1) / step).abs()
    assert shifts.max().item() == pytest.approx(augment.TRANSLATION * 32, rel=0.02)
    assert found.min() >= -1
    assert found.max() <= 1


def test_a_scaling_and_a_rotation_keep_the_middle() -> None:
    images = torch.full((500, 1, 17, 17), -1.0)
    images[:, :, 8, 8] = 1.0
    for kind in ("scaling", "rotation"):
        found = apply(images, (kind,), 0.9)
        torch.testing.assert_close(found[:, :, 8, 8], images[:, :, 8, 8], atol=1e-5, rtol=0)


def test_a_rotation_turns_by_about_ten_degrees() -> None:
    across = torch.linspace(-1, 1, 33).view(1, 1, 1, 33).expand(3000, 1, 33, 33)
    found = apply(across, ("rotation",), 0.999)[:, 0, 8:25, 8:25]
    slope_x = (found[:, 8, -1] - found[:, 8, 0]).double()
    slope_y = (found[:, -1, 8] - found[:, 0, 8]).double()
    angles = torch.atan2(slope_y, slope_x)
    assert angles.std().item() == pytest.approx(augment.ROTATION, rel=0.06)
    assert angles.mean().abs().item() < 0.02


def test_an_intensity_is_one_factor_and_one_shift_per_image() -> None:
    images = pictures(2000, channels=3, side=8)
    found = apply(images, ("intensity",), 0.999)
    flat, mapped = images.flatten(1), found.flatten(1)
    middle, mapped_middle = flat.mean(1, keepdim=True), mapped.mean(1, keepdim=True)
    factor = ((mapped - mapped_middle) * (flat - middle)).sum(1) / (flat - middle).square().sum(1)
    shift = mapped_middle[:, 0] - factor * middle[:, 0]
    torch.testing.assert_close(mapped, flat * factor[:, None] + shift[:, None], atol=1e-5, rtol=0)
    assert factor.log().std().item() == pytest.approx(augment.CONTRAST, rel=0.06)
    assert shift.std().item() == pytest.approx(augment.BRIGHTNESS, rel=0.06)


def test_a_cutout_blanks_one_square() -> None:
    images = torch.full((500, 2, 20, 20), 0.5)
    found = apply(images, ("cutout",), 0.5)
    assert set(found.unique().tolist()) == {-1.0, 0.5}
    assert torch.equal(found[:, 0], found[:, 1])
    for blank in (found[:, 0] == -1)[changed(images, found)]:
        rows, columns = blank.any(1), blank.any(0)
        assert torch.equal(blank, rows[:, None] & columns[None])
        assert max(rows.sum(), columns.sum()) <= 8  # 0.4 of the side; less where it reaches over the edge
    assert (found[:, 0] == -1).sum((1, 2)).max() == 64


@pytest.mark.parametrize("channels", [1, 3])
def test_the_same_stream_gives_the_same_images_and_parts_of_them(channels: int) -> None:
    images = pictures(12, channels)
    whole = apply(images, KINDS, 0.6)
    assert torch.equal(whole, apply(images, KINDS, 0.6))
    assert not torch.equal(whole, apply(images, KINDS, 0.6, seed=1))
    for part in (slice(0, 4), slice(4, 12)):
        torch.testing.assert_close(apply(images[part], KINDS, 0.6, size=12, part=part), whole[part])


def test_every_call_goes_on_in_the_stream() -> None:
    images = pictures(12)
    augmentation = Augmentation(KINDS, 0.6, np.random.default_rng(0), 12)
    first, second = augmentation(images), augmentation(images)
    assert not torch.equal(first, second)
    again = Augmentation(KINDS, 0.6, np.random.default_rng(0), 12)
    assert torch.equal(again(images), first)
    assert torch.equal(again(images), second)


def test_a_kind_is_drawn_the_same_whatever_other_kinds_are_on() -> None:
    images = pictures(200)
    alone = changed(images, apply(images, ("cutout",), 0.5))
    together = apply(images, ("cutout", "intensity"), 0.5)
    assert torch.equal((together == -1).flatten(1).any(1), alone)


def test_gradients_pass_to_what_is_still_seen() -> None:
    images = pictures(6).double().requires_grad_()
    weights = torch.randn(6, 1, 16, 16, generator=torch.Generator().manual_seed(1))

    def score(seen: Tensor) -> Tensor:
        return (apply(seen, KINDS, 0.6).float() * weights).sum()

    (gradient,) = torch.autograd.grad(score(images), images)
    assert torch.isfinite(gradient).all()
    direction = torch.randn(images.shape, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
    with torch.no_grad():  # it is linear in the pixels, so that a wide step is exact
        slope = score(images + 0.5 * direction) - score(images - 0.5 * direction)
    assert (gradient * direction).sum().item() == pytest.approx(slope.item(), rel=1e-3)
