"""The eye on a training: planted copies, the metric of the stop rule, and the features it is measured in."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from safetensors.torch import save_file
from torch import Tensor, nn

from gan_toys import CPU, draw_faces, make_images
from synthcohort.classify.networks import PlainNet
from synthcohort.classify.weights import load_inception_weights
from synthcohort.core.atomic import file_digest
from synthcohort.core.config import StopRule
from synthcohort.core.errors import UserError
from synthcohort.gan import watch
from synthcohort.gan.data import TrainingImages
from synthcohort.gan.features import GuideFeatures, InceptionFeatures, feature_vectors
from synthcohort.gan.layers import float_images
from synthcohort.gan.watch import Evaluation, Watch
from synthcohort.measures.distances import frechet_distance, kernel_distance

RULE = StopRule(samples=1000)


class Replay(nn.Module):
    """A planted generator that shows given images, chosen by the noise, with a little blur if asked."""

    latent = 4

    def __init__(self, images: NDArray[np.uint8], noise: float = 0.0) -> None:
        super().__init__()
        self.images = nn.Parameter(float_images(torch.from_numpy(images)), requires_grad=False)
        self.noise = noise

    def forward(self, latents: Tensor, labels: Tensor) -> Tensor:
        places = torch.special.ndtr(latents[:, 0].double()) * len(self.images)
        shown = self.images[places.long()]
        return shown + self.noise * torch.randn(shown.shape, generator=torch.Generator().manual_seed(0))


class PixelFeatures:
    name = "pixels"

    def __call__(self, images: Tensor) -> Tensor:
        return torch.nn.functional.avg_pool2d(images, 4).flatten(1)


@pytest.fixture(scope="module")
def sets(tmp_path_factory: pytest.TempPathFactory) -> dict[str, TrainingImages]:
    folder = tmp_path_factory.mktemp("stores")
    counts = {"train": 500, "valid": 60}
    return {
        name: make_images(folder / name, draw_faces(count, number))
        for number, (name, count) in enumerate(counts.items())
    }


def bytes_of(images: TrainingImages) -> NDArray[np.uint8]:
    return np.array(images.store.images)


@pytest.mark.parametrize("noise", [0.0, 0.03])
def test_a_generator_that_replays_training_images_is_found(sets: dict[str, TrainingImages], noise: float) -> None:
    found = Watch(sets["train"], sets["valid"], None, RULE, seed=1).look(Replay(bytes_of(sets["train"]), noise))
    assert found.copied == pytest.approx(1, abs=0.1)
    assert found.alarm


def test_mirrored_copies_are_found_where_the_generator_sees_mirrored_images(sets: dict[str, TrainingImages]) -> None:
    mirrored = np.ascontiguousarray(bytes_of(sets["train"])[..., ::-1])
    found = Watch(sets["train"], sets["valid"], None, RULE, seed=1, mirrored=True).look(Replay(mirrored))
    assert found.copied == pytest.approx(1, abs=0.1)
    unseen = Watch(sets["train"], sets["valid"], None, RULE, seed=1).look(Replay(mirrored))
    assert unseen.copied < 0.5


@pytest.mark.parametrize("count", [50, 60, 110])
def test_copies_of_a_small_training_set_are_found_too(
    sets: dict[str, TrainingImages], tmp_path: Path, count: int
) -> None:
    """Also where the held-out images do not go into the training images without a rest."""
    few = make_images(tmp_path, draw_faces(count, 5))
    found = Watch(few, sets["valid"], None, RULE, seed=1).look(Replay(bytes_of(few)))
    assert found.copied == pytest.approx(1, abs=0.1)
    assert Watch(few, sets["valid"], None, RULE, seed=1).look(Replay(draw_faces(1000, 7))).alarm is False


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_a_generator_of_other_peoples_images_is_not_suspected(sets: dict[str, TrainingImages], seed: int) -> None:
    found = Watch(sets["train"], sets["valid"], None, RULE, seed).look(Replay(draw_faces(1000, 100 + seed)))
    assert abs(found.copied) < 0.02
    assert not found.alarm


def test_a_generator_that_replays_held_out_images_copies_no_training_image(sets: dict[str, TrainingImages]) -> None:
    found = Watch(sets["train"], sets["valid"], None, RULE, seed=1).look(Replay(bytes_of(sets["valid"])))
    assert found.copied < -0.9
    assert not found.alarm


@pytest.mark.parametrize("parameters", [3, 6])
def test_smooth_images_are_no_copies_however_few_are_held_out(tmp_path: Path, parameters: int) -> None:
    """A hundred training images per held-out one, and so few parameters that strangers are often much alike."""

    def draw(count: int, seed: int) -> NDArray[np.uint8]:
        y, x = np.mgrid[:16, :16] / 15
        images = np.zeros((count, 16, 16))
        for u, v, light in np.random.default_rng(seed).uniform(0.2, 0.8, (parameters // 3, 3, count, 1, 1)):
            images += 300 * light * np.exp(-((x - u) ** 2 + (y - v) ** 2) / 0.05)
        return images.clip(0, 255).astype(np.uint8)[:, None]

    train, valid = draw(2000, 1), draw(20, 2)
    looking = Watch(make_images(tmp_path / "a", train), make_images(tmp_path / "b", valid), None, RULE, seed=1)
    assert abs(looking.look(Replay(draw(1000, 3))).copied) < 0.05
    assert looking.look(Replay(train)).copied == pytest.approx(1, abs=0.3)
    half = np.concatenate([train[:500], draw(500, 3)])
    assert looking.look(Replay(half)).copied == pytest.approx(0.5, abs=0.15)


def test_copies_are_found_though_each_patient_has_several_like_images(
    sets: dict[str, TrainingImages], tmp_path: Path
) -> None:
    faces = draw_faces(100, 4)
    train = make_images(tmp_path, np.repeat(faces, 2, 0))
    train.store.records["patient_id"] = [f"p{number // 2}" for number in range(200)]
    assert Watch(train, sets["valid"], None, RULE, seed=1).look(Replay(faces)).copied == pytest.approx(1, abs=0.1)


def test_the_share_of_copies_is_estimated(sets: dict[str, TrainingImages]) -> None:
    mixed = np.concatenate([bytes_of(sets["train"])[:150], draw_faces(850, 9)])
    found = Watch(sets["train"], sets["valid"], None, RULE, seed=1).look(Replay(mixed))
    assert found.copied == pytest.approx(0.15, abs=0.05)


def test_the_alarm_needs_a_tenth() -> None:
    assert Evaluation("kid", 0.1, 0.1).alarm
    assert not Evaluation("kid", 0.1, 0.099).alarm


def test_without_features_only_copies_are_looked_for(sets: dict[str, TrainingImages]) -> None:
    looking = Watch(sets["train"], sets["valid"], None, RULE, seed=1)
    found = looking.look(Replay(draw_faces(100, 3)))
    assert (looking.metric, found.metric) == ("", "")
    assert np.isnan(found.distance)


@pytest.mark.parametrize(
    ("enough", "metric", "measure"),
    [(61, "kid", kernel_distance), (60, "frechet_distance", frechet_distance)],
)
def test_the_metric_follows_from_the_number_of_held_out_images(
    sets: dict[str, TrainingImages],
    monkeypatch: pytest.MonkeyPatch,
    enough: int,
    metric: str,
    measure: Callable[..., float],
) -> None:
    assert watch.FRECHET_IMAGES == 5000
    monkeypatch.setattr(watch, "FRECHET_IMAGES", enough)
    looking = Watch(sets["train"], sets["valid"], PixelFeatures(), RULE, seed=1)
    assert looking.metric == metric
    features = PixelFeatures()(float_images(torch.from_numpy(bytes_of(sets["valid"])))).numpy()
    np.testing.assert_allclose(looking.reference, features, atol=1e-6)

    good, bad = (looking.look(Replay(images)) for images in (draw_faces(1000, 3), draw_faces(1000, 3) // 2))
    assert good.metric == metric
    assert good.distance < 0.1 * bad.distance
    shown = PixelFeatures()(float_images(torch.from_numpy(draw_faces(1, 3)))).expand(1000, -1).numpy()
    assert looking.look(Replay(draw_faces(1, 3))).distance == pytest.approx(measure(shown, features), rel=1e-3)


def test_looks_are_repeatable(sets: dict[str, TrainingImages]) -> None:
    looking = Watch(sets["train"], sets["valid"], PixelFeatures(), RULE, seed=1)
    generator = Replay(draw_faces(1000, 3))
    assert looking.look(generator) == looking.look(generator)


def test_the_paper_compares_with_training_images(sets: dict[str, TrainingImages]) -> None:
    rule = StopRule(images="training", samples=200)
    looking = Watch(sets["train"], sets["valid"], PixelFeatures(), rule, seed=1)
    chosen = bytes_of(sets["train"])[np.linspace(0, 499, 200).round().astype(int)]
    expected = PixelFeatures()(float_images(torch.from_numpy(chosen))).numpy()
    np.testing.assert_allclose(looking.reference, expected, atol=1e-6)


def test_features_of_the_guide_are_its_pooled_vector() -> None:
    torch.manual_seed(0)
    guide = PlainNet(1, ["a", "b"], 16).eval()
    features = GuideFeatures(guide)
    images = torch.rand(5, 1, 16, 16)
    vectors = feature_vectors(features, images.split(2))
    assert features.name == "guide (plain)"
    with torch.no_grad():
        np.testing.assert_allclose(vectors, guide.pooled(images).numpy(), rtol=1e-4, atol=1e-6)
        assert guide(images).shape == (5, 2)
    assert vectors.shape == (5, 96)


def test_inception_features_of_given_weights(tmp_path: Path) -> None:
    from torchvision.models import inception_v3

    torch.manual_seed(0)
    network = inception_v3(weights=None, init_weights=False).eval()
    with torch.no_grad():
        for parameter in network.parameters():
            if parameter.dim() == 4:
                parameter.mul_(6**0.5)  # to He's variance: the image must not fade away over the layers
    path = tmp_path / "inception.safetensors"
    save_file(network.state_dict(), path)
    features = InceptionFeatures(str(path), CPU)
    assert features.name == f"inception-v3 (torchvision, weights {file_digest(path)[:12]})"

    seen = []
    network.fc.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    flat = torch.tensor([-0.5, 0.75]).view(2, 1, 1, 1).expand(2, 1, 16, 16)  # enlarged they stay flat
    with torch.no_grad():
        found = features(flat)
        network(flat[:, :, :1, :1].expand(2, 3, 299, 299))
    assert found.shape == (2, 2048)
    assert (found[0] - found[1]).abs().max() > 0.1 * found.abs().max()
    torch.testing.assert_close(found, seen[0].flatten(1), rtol=1e-3, atol=1e-3 * found.abs().max().item())


def test_wrong_files_are_refused(tmp_path: Path) -> None:
    other = tmp_path / "other.safetensors"
    save_file({"fc.weight": torch.zeros(1000, 2048)}, other)
    broken = tmp_path / "broken.pth"
    broken.write_bytes(b"no weights")
    promised = tmp_path / "inception_v3_google-0cc3c7bd.pth"
    promised.write_bytes(b"no weights")
    tensor = tmp_path / "tensor.pth"
    torch.save(torch.zeros(3), tensor)
    for path, said in (
        (other, "another network's weights"),
        (broken, "does not hold weights"),
        (promised, "does not begin with 0cc3c7bd"),
        (tensor, "does not hold weights"),
        (tmp_path / "missing.pth", "no such file"),
    ):
        with pytest.raises(UserError, match=said) as caught:
            load_inception_weights(str(path))
        assert str(caught.value).startswith("config key stop_rule.features: ")
