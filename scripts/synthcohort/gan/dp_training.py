"""A training with differential privacy: whose images a step sees, and what becomes of their gradients."""

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import opacus
import torch
from numpy.typing import NDArray
from opacus.optimizers import DPOptimizer
from torch import Tensor

from synthcohort.core.errors import UserError
from synthcohort.gan.augment import Augmentation
from synthcohort.gan.data import TrainingImages, random_stream
from synthcohort.gan.distributed import Ranks
from synthcohort.gan.dp import (
    default_delta,
    noisy_histogram,
    one_image_each,
    plan_noise,
    poisson_batch,
    secret_stream,
)
from synthcohort.gan.family import Batch, Family
from synthcohort.gan.sampler import draw_combinations
from synthcohort.gan.settings import DPSettings
from synthcohort.gan.training import Training

UNIT = "patient, with one image; data sets are neighbours when one patient is added or removed"
HOLDS_FOR = "who does not know the key in the cohort's private folder"
SHOWN = 1000


@dataclass(frozen=True)
class PrivateBatch(Batch):
    """A batch in which the generator has a part of its own, which no patient has touched.

    `images`, `labels` and `mix` have as many rows as patients were drawn, perhaps none; `latents` are for their fakes.

    Attributes
    ----------
    own_latents : Tensor
        float ``[batch, latent]``.
    own_labels : Tensor
        float ``[batch, findings]``, drawn from the noisy histogram.
    """

    own_latents: Tensor
    own_labels: Tensor


class PrivateTraining(Training):
    """Trains the discriminator by DP-SGD, one image per patient, with Poisson sampling.

    Parameters are those of `Training`; `secret` is needed.

    Attributes
    ----------
    guarantee : Guarantee
        What the whole training, up to its last step, gives away at most.

    Raises
    ------
    UserError
        With several processes, parts of batches, or adaptive augmentation.
    """

    steered = False
    settings: DPSettings

    def __init__(
        self,
        family: Family,
        settings: DPSettings,
        data: TrainingImages,
        channels: int,
        findings: int,
        seed: int,
        guide: Any = None,
        augmentations: tuple[str, ...] = (),
        ranks: Ranks = Ranks(),  # noqa: B008 - frozen
        secret: bytes = b"",
    ) -> None:
        if ranks.world > 1 or settings.accumulation > 1:
            raise UserError(f"{family.name}: it trains in one process and in whole batches; drop these config keys.")
        if settings.augmentation is None:
            raise UserError(f"{family.name}: adaptive augmentation looks at patients; give a number instead.")
        if not secret:
            raise ValueError("a private training needs a secret")
        chosen = one_image_each(patients_of(data), secret_stream(secret, "images"))
        combinations = np.unique(data.labels.cpu().numpy(), axis=0)
        kept = TrainingImages(data.store, data.rows[chosen], data.device, data.side)
        super().__init__(family, settings, kept, channels, findings, seed, None, augmentations, ranks, secret)
        delta = settings.delta or default_delta(len(kept))
        rate = min(1.0, settings.batch / len(kept))
        self.guarantee = plan_noise(settings.epsilon, delta, rate, self.steps)
        self.combinations = combinations
        self.histogram = noisy_histogram(
            kept.labels.cpu().numpy(), combinations, self.guarantee.histogram_noise, secret_stream(secret, "histogram")
        )
        self.noise = torch.Generator(self.device)
        self.optimizers[1] = DPOptimizer(
            self.optimizers[1],
            noise_multiplier=self.guarantee.noise_multiplier,
            max_grad_norm=settings.clip,
            expected_batch_size=settings.batch,
            generator=self.noise,
        )

    def advance(self) -> None:
        """Take one step; its noise follows from the secret and the step, so that a continued run repeats none."""
        self.noise.manual_seed(int(secret_stream(self.secret, "noise", self.step).integers(2**63)))
        super().advance()

    def batch(self, number: int = 0) -> PrivateBatch:
        """Draw the patients of the step, each independently, and the generator's own part.

        What a patient's image is paired with and how both are augmented is secret too. Drawn in public, it would be
        known by place in the batch, and with a patient less everybody after would get another: the sum would then
        change by more than the patient's clipped gradient. The generator's part does not depend on patients.
        """
        settings, step = self.settings, self.step
        draw = secret_stream(self.secret, "patients", step)
        positions = poisson_batch(len(self.data), self.guarantee.sample_rate, draw)
        count = len(positions)
        images, labels = self.data.pairs(positions, draw.random(count) < 0.5 if settings.horizontal_flip else None)
        own, paired = (
            torch.from_numpy(stream.standard_normal((size, settings.latent), dtype=np.float32)).to(self.device)
            for stream, size in ((random_stream(self.seed, "latents", step), settings.batch), (draw, count))
        )
        own_labels = draw_combinations(
            self.combinations, self.histogram, random_stream(self.seed, "own labels", step), settings.batch
        )
        augment = Augmentation(self.augmentations, self.augmentation, draw, count)
        mix = images.new_zeros(count, 1, 1, 1)
        return PrivateBatch(
            images, labels, paired, mix, augment, step, step / self.steps, own, torch.from_numpy(own_labels).to(own)
        )

    @property
    def shown_labels(self) -> NDArray[np.float32]:
        """Label vectors drawn from the noisy histogram."""
        return draw_combinations(self.combinations, self.histogram, random_stream(self.seed, "shown", 0), SHOWN)

    def facts(self) -> dict[str, Any]:
        """Say what is guaranteed, and from which histogram samples take their labels."""
        return {
            "privacy": {
                **asdict(self.guarantee),
                "clip": self.settings.clip,
                "patients": len(self.data),
                "unit": UNIT,
                "holds_for": HOLDS_FOR,
                "accountant": f"Rényi differential privacy, Opacus {opacus.__version__}",
            },
            "label_histogram": {"combinations": self.combinations.tolist(), "patients": self.histogram.tolist()},
        }


def patients_of(data: TrainingImages) -> NDArray[Any]:
    """Whose each training image is."""
    return data.store.records["patient_id"].to_numpy()[data.rows]
