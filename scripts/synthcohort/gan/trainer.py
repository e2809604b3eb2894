"""One trainer for every family; a killed training goes on where it was."""

import hashlib
import hmac
from collections.abc import Mapping
from contextlib import nullcontext
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from synthcohort.core.atomic import value_digest
from synthcohort.core.checkpoint import RunFolder
from synthcohort.core.config import StopRule
from synthcohort.core.errors import UserError
from synthcohort.core.interrupt import termination_request
from synthcohort.core.store import ImageStore
from synthcohort.gan.data import TrainingImages
from synthcohort.gan.distributed import Ranks
from synthcohort.gan.family import Family
from synthcohort.gan.loop import Trainer
from synthcohort.gan.settings import Settings
from synthcohort.gan.training import Training
from synthcohort.gan.watch import Watch


@dataclass(frozen=True)
class Material:
    """What a generator is trained on and with.

    Attributes
    ----------
    store : ImageStore
        Real images, at the settings' resolution or a finer one.
    train, valid : numpy.ndarray
        int ``[n]``: rows of the store to learn from, and rows of other patients.
    guide : module, optional
        A classifier trained on real images of the same experiment, at the settings' resolution.
    features : Features, optional
        Where the stop rule measures.
    before : pair of mappings, optional
        Weights of generator and discriminator to start from.
    digest : str
        Digest of whatever else the result depends on; a checkpoint with another one is set aside.
    secret : bytes
        Known to nobody outside: private families draw their noise from it.
    """

    store: ImageStore
    train: NDArray[np.int64]
    valid: NDArray[np.int64]
    guide: Any = None
    features: Any = None
    before: tuple[Mapping[str, Tensor], Mapping[str, Tensor]] | None = None
    digest: str = ""
    secret: bytes = b""


def train_generator(
    material: Material,
    family: Family,
    settings: Settings,
    rule: StopRule,
    seed: int,
    folder: Path,
    device: torch.device,
    augmentations: tuple[str, ...] = (),
    ranks: Ranks = Ranks(),  # noqa: B008 - frozen
) -> None:
    """Train one generator; the same call continues where a killed one stopped and ends in the same bytes.

    Parameters
    ----------
    material : Material
        Images and whatever helps to learn them.
    family : Family
        What is trained.
    settings : Settings
        As from `resolve_settings`.
    rule : StopRule
        The config's.
    seed : int
        Starts weights, order, noise and mirroring.
    folder : Path
        The experiment's ``{source}/{replicate}``. Written there: ``generator.safetensors`` (averaged weights) and
        ``generator.json``, ``discriminator.safetensors``, ``unaveraged.safetensors`` (the generator as it was last, for
        a stage that continues), ``history.csv`` (a row per tick), ``timing.csv`` (times, memory, host),
        ``samples.npz`` (see `Snapshots`), and ``run/`` with the checkpoint and TensorBoard's events.
    device : torch.device
        From `prepare_device`.
    augmentations : tuple of str
        Kinds, see `augment`.
    ranks : Ranks
        This process among several that train together.

    Raises
    ------
    UserError
        When a loss is no longer finite, no image is given, or another process trains in the folder.
    Interrupted
        When asked to end; the state is saved.
    """
    if len(material.train) == 0:
        raise UserError(f"{family.name}: there is no training image; choose a smaller level in the config's axes.")
    store = material.store
    train, valid = (
        TrainingImages(store, rows, device, settings.resolution) for rows in (material.train, material.valid)
    )
    digest = _digest(material, family, settings, rule, seed)
    # Other data or settings, other noise: the same noise twice would cancel out of the difference of two generators.
    secret = hmac.digest(material.secret, digest.encode(), "sha256") if material.secret else b""
    training = (family.training or Training)(
        family, settings, train, store.info.channels, len(store.info.findings), seed, material.guide, augmentations,
        ranks, secret,
    )  # fmt: skip
    if material.before is not None:
        training.inherit(*material.before)
    features = material.features if training.steered else None
    watch = Watch(training.data, valid, features, rule, seed, settings.horizontal_flip) if ranks.first else None
    if secret:
        digest = value_digest([digest, hashlib.sha256(secret).hexdigest()])
    with termination_request() as request, RunFolder(folder / "run", digest) if ranks.first else nullcontext() as run:
        trainer = Trainer(training, watch, valid, rule, run)
        state = ranks.share(run.load() if run is not None else None)
        if state is not None:
            trainer.load_state_dict(state)
        trainer.train(request)
        if ranks.first:
            trainer.write(folder, store)


def _digest(material: Material, family: Family, settings: Settings, rule: StopRule, seed: int) -> str:
    return value_digest(
        {
            "material": material.digest,
            "family": family.name,
            "settings": asdict(settings),
            "rule": rule.model_dump(mode="json"),
            "seed": seed,
            "data": [material.store.info.data_version, material.train.tolist(), material.valid.tolist()],
        }
    )
