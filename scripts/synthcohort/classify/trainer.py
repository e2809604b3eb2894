"""One trainer for every predictive model, real and synthetic alike: what it learns from is all that differs."""

import time
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from synthcohort.classify.networks import DenseNet121, Network, build_network, save_classifier
from synthcohort.classify.training import RECIPES, Subset, Training
from synthcohort.core import versions
from synthcohort.core.atomic import value_digest, write_csv
from synthcohort.core.checkpoint import RunFolder, weights_digest
from synthcohort.core.config import Classifier
from synthcohort.core.errors import UserError
from synthcohort.core.progress import logger

CHECKPOINT_SECONDS = 10.0


def train_classifier(
    train: Subset,
    valid: Subset,
    settings: Classifier,
    seed: int,
    folder: str | Path,
    device: torch.device,
    horizontal_flip: bool,
    params_digest: str,
    start: Mapping[str, Tensor] | None = None,
) -> Network:
    """Train a predictive model until its own validation AUROC no longer rises, and keep the best.

    Killed at any moment, the same call continues and ends in the same bytes (same machine, same threads).

    Parameters
    ----------
    train, valid : tuple of ImageStore and ndarray of int64
        What is learnt from, and what decides when to stop. For a synthetic cohort both are synthetic.
    settings : Classifier
        The config's.
    seed : int
        Seed of initial weights and order. Real and synthetic classifiers of a replicate share it.
    folder : str or Path
        Gets ``classifier.safetensors``, ``classifier.json`` and ``classifier-history.csv``; the running state and
        ``timing.csv`` lie in ``run/classifier`` below it.
    device : torch.device
        Where to compute.
    horizontal_flip : bool
        Mirror training images at random (the cohort's key).
    params_digest : str
        Digest of whatever else the result depends on, such as the number of threads.
    start : mapping of str to Tensor, optional
        Weights to start from, of a classifier of the same network: it was trained on other images before.

    Returns
    -------
    Network
        The best weights, on `device`, in evaluation mode.

    Raises
    ------
    UserError
        When there is nothing to train on, another process trains in this folder, or the weights file does not fit.
    """
    folder = Path(folder)
    for side, (_, rows) in {"training": train, "validation": valid}.items():
        if not len(rows):
            raise UserError(f"the {side} side of this classifier has no image; use more patients or fewer levels.")
    info = train[0].info
    network = build_network(settings.network, info.channels, info.finding_names, info.resolution, seed)
    facts: dict[str, Any] = {"seed": seed}
    if settings.weights != "none" and isinstance(network, DenseNet121):
        facts["weights_digest"] = network.load_pretrained(settings.weights)
    if start is not None:
        network.load_state_dict(start)
        facts["start"] = weights_digest(start)
    digest = value_digest(
        {
            "version": versions.CLASSIFIER,
            "params": params_digest,
            "settings": settings.model_dump(mode="json", exclude={"weights"}),
            "recipe": asdict(RECIPES[settings.network]),
            "flip": horizontal_flip,
            "data": [[store.info.data_version, rows.tolist()] for store, rows in (train, valid)],
            **facts,
        }
    )
    with RunFolder(folder / "run" / "classifier", digest) as run:
        training = Training(network, train, valid, settings, seed, device, horizontal_flip)
        _run(training, run)
        best = training.history[training.best_evaluation]
        write_csv(folder / "classifier-history.csv", pd.DataFrame(training.history))
        network.load_state_dict(training.best)
        save_classifier(folder, network, facts | {"best_kimg": best["kimg"], "valid_auroc": _json(best["valid_auroc"])})
    return network.eval().requires_grad_(False)


def _json(value: float) -> float | None:
    return None if np.isnan(value) else value


def _run(training: Training, run: RunFolder) -> None:
    state = run.load()
    if state is not None:
        training.restore(state)
        logger.info("classifier: continues at %.1f kimg", training.kimg)
    saved = time.monotonic()
    while not training.done:
        began, before = time.monotonic(), training.kimg
        training.advance()
        seconds = time.monotonic() - began
        last = training.history[-1]
        logger.info(
            "classifier: %5.1f of at most %g kimg, %.2f s/kimg, training loss %.4f, validation AUROC %.4f%s",
            training.kimg, training.settings.kimg, seconds / (training.kimg - before), last["train_loss"],
            last["valid_auroc"], "" if training.waited else " (best)",
        )  # fmt: skip
        with open(run.path / "timing.csv", "a", encoding="utf-8") as file:
            file.write(("" if file.tell() else "kimg,seconds\n") + f"{training.kimg},{seconds:.3f}\n")
        if training.done or time.monotonic() - saved >= CHECKPOINT_SECONDS:
            run.save(training.state())
            saved = time.monotonic()
