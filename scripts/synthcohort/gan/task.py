"""A training as plain data, so that it can be handed to several processes."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
import torch

from synthcohort.classify.networks import Network, load_classifier
from synthcohort.core.atomic import value_digest
from synthcohort.core.checkpoint import read_weights, weights_digest
from synthcohort.core.config import StopRule
from synthcohort.core.device import DeviceName, prepare_device
from synthcohort.core.progress import configure_logging
from synthcohort.core.seeds import derive_seed
from synthcohort.core.store import ImageStore
from synthcohort.dicom.pseudonyms import Pseudonyms
from synthcohort.gan.canaries import canary_rows, plant_canaries
from synthcohort.gan.distributed import Ranks, launch
from synthcohort.gan.features import Features, GuideFeatures, InceptionFeatures
from synthcohort.gan.presets import MINIMA, resolve_settings
from synthcohort.gan.registry import load_family
from synthcohort.gan.trainer import Material, train_generator

Weights = dict[str, torch.Tensor]


@dataclass(frozen=True)
class Task:
    """One generator, or one stage of its growth.

    Attributes
    ----------
    family, scale : str
        As in the config.
    resolution : int
        Side of the images.
    on_the_way : int
        Side that the growth goes on to in the same experiment; 0 where it ends with this stage.
    changes : dict
        Settings that differ from the preset.
    store, selection, folder : str
        The real ImageStore, selection.parquet, and where to write.
    guide : str
        Folder of the real classifier of the same experiment, or empty.
    before : str
        Folder of the stage before, or empty.
    seed : int
        Of this training.
    stop_rule : StopRule
        The config's.
    augmentations : list of str
        The cohort's.
    device, threads, processes
        As in the config.
    version : int
        Of the stage, see `core.versions`.
    log : str
        The job's log.
    canaries, canary_seed : int
        Number of training patients whose images carry a mark, and what chooses them.
    private : str
        Folder of the cohort's key, for private families, or empty.
    """

    family: str
    scale: str
    resolution: int
    on_the_way: int
    changes: dict[str, Any]
    store: str
    selection: str
    folder: str
    guide: str
    before: str
    seed: int
    stop_rule: StopRule
    augmentations: list[str]
    device: DeviceName
    threads: int
    processes: int
    version: int
    log: str
    canaries: int = 0
    canary_seed: int = 0
    private: str = ""


def task_of(given: Any, output: Any, params: Any, seed: int, cohort: str, log: str) -> Task:
    """Make the task of a rule from its input, output and params; `seed` is the training's."""
    return Task(
        **params.training,
        store=str(Path(given.real[0]).parent),
        selection=given.selection,
        folder=str(Path(output[0]).parent),
        guide=str(Path(given.guide[0]).parent) if given.guide else "",
        before=str(Path(given.before[0]).parent) if given.get("before") else "",
        seed=seed,
        stop_rule=StopRule(**params.stop_rule),
        device=params.device,
        threads=params.threads,
        processes=params.processes,
        version=params.version,
        log=log,
        canary_seed=derive_seed(params.seed, "canaries", cohort),
    )


def run(task: Task) -> None:
    """Train, in as many processes as the task says."""
    launch(task.processes, run_rank, task)


def run_rank(task: Task, ranks: Ranks) -> None:
    """Do one process's part of a task."""
    if not ranks.first:
        configure_logging(None)
    elif ranks.world > 1:
        configure_logging(task.log)
    device = prepare_device(task.device, task.threads)
    selection = pd.read_parquet(task.selection)
    rows = {side: group["row"].to_numpy() for side, group in selection.groupby("side")}
    guide = load_classifier(task.guide, device) if task.guide else None
    # Nothing stops a stage on the way: its length is part of the growth.
    features = None if task.on_the_way else _features(task.stop_rule.features, guide, device)
    before = _read_networks(Path(task.before)) if task.before else None
    known: list[Any] = [
        weights_digest(guide.state_dict() if guide else {}),
        *map(weights_digest, before or ()),
        task.augmentations,
    ]
    known += [features.name if features else "", task.version, task.threads, task.processes]
    store = ImageStore(task.store)
    if task.canaries:
        store = plant_canaries(store, canary_rows(selection, task.canaries, task.canary_seed), task.canary_seed)
        known += [task.canaries, task.canary_seed]
    secret = Pseudonyms.open(task.private).secret("noise") if task.private else b""
    family = load_family(task.family)
    settings = resolve_settings(family.presets, task.scale, task.resolution, task.on_the_way, **task.changes)
    train_generator(
        Material(store, rows["train"], rows["valid"], guide, features, before, value_digest(known), secret),
        family,
        settings,
        stop_rule_of(task),
        task.seed,
        Path(task.folder),
        device,
        tuple(task.augmentations),
        ranks,
    )


def stop_rule_of(task: Task) -> StopRule:
    """Give the config's rule, with the published minimum where there is one."""
    key = (task.family, task.scale, task.resolution)
    return task.stop_rule.model_copy(update={"minimum": MINIMA[key]} if key in MINIMA else {})


def _features(name: str, guide: Network | None, device: torch.device) -> Features | None:
    if name != "guide":
        return InceptionFeatures(name, device)
    return GuideFeatures(guide) if guide is not None else None


def _read_networks(folder: Path) -> tuple[Weights, Weights]:
    return read_weights(folder / "unaveraged.safetensors"), read_weights(folder / "discriminator.safetensors")
