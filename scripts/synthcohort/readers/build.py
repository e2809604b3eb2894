"""Building a reader study from a finished study."""

import itertools
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from synthcohort.core.atomic import value_digest, write_json
from synthcohort.core.errors import UserError
from synthcohort.core.progress import logger
from synthcohort.core.reader_config import ReaderStudy
from synthcohort.core.seeds import derive_seed
from synthcohort.readers.answers import HOME, has_answers
from synthcohort.readers.key import AnswerKey
from synthcohort.readers.order import reading_order
from synthcohort.readers.pictures import enlarge, write_pictures
from synthcohort.readers.power import Power, describe_power, planned_power
from synthcohort.readers.select import READING, REAL, TRAINING, Cell, choose_items
from synthcohort.readers.study import (
    BLOCKS,
    OWNER_ALONE,
    PRIVATE,
    STUDY,
    TRUTHS,
    Block,
    Pack,
    Reader,
    ServedStudy,
    locked,
)

FORMAT = 2
"""Raised when the same inputs would give another study."""


def build_reader_study(
    name: str, cells: Sequence[Cell], config: ReaderStudy, seed: int, home: Path = HOME, private: Path = PRIVATE
) -> dict[str, Any]:
    """Build what `serve` shows, seal the answer key, and say what the study can find out.

    Parameters
    ----------
    name : str
        Of the study that `cells` are from.
    cells : sequence of Cell
        Families, resolutions and cohorts that readers see.
    config : ReaderStudy
        How many images, readers and so on.
    seed : int
        The study's seed.
    home : Path
        The reader study's folder is made here. A study that has answers is never touched: another build gets an id of
        its own (``NAME-2`` and so on).
    private : Path
        Where the answer key goes.

    Returns
    -------
    dict
        ``id``, ``digest``, ``readers``, ``items`` (first showings of each reader), ``patients`` (behind the real ones),
        ``positions``, ``simulated`` and ``power`` (``all`` and ``each_cell``); to be kept as JSON.

    Raises
    ------
    UserError
        When there are too few images, or the study is being served.
    """
    digest = _digest(name, cells, config, seed)
    study_id = free_id(name, digest, home, private)
    if study_id != name:
        logger.info("reader study %s holds answers, or is another study's, and stays; this build is %s", name, study_id)
    folder, key = home / study_id, AnswerKey(private, study_id, digest)
    items = choose_items(cells, config, derive_seed(seed, "reader-items"))
    power = _power(items, config)
    if not _is_built(folder, private, digest):
        with locked(folder):
            if has_answers(folder):  # given since the id was chosen
                raise UserError(f"reader study {study_id} has answers by now and stays; build again.")
            _write(folder, key, name, digest, cells, config, _numbered(items, key), seed)
    for line in describe_power(*power, len(cells)):
        logger.info("%s", line)
    reading = int((items["block"] == READING).sum())
    patients = items.loc[(items["block"] == READING) & (items["truth"] == REAL), "group"].nunique()
    if 2 * patients < reading:
        logger.warning(
            "the %d real images are of %d patients: images of one patient are no independent evidence, and intervals "
            "are wider for it than the power above says; hold out more patients, or show fewer images",
            reading // 2,
            patients,
        )
    return {
        "id": study_id,
        "digest": digest,
        "readers": config.count,
        "items": reading,
        "patients": patients,
        "positions": reading + config.repeated,
        "margin": config.margin,
        "simulated": any(cell.real.info.simulated for cell in cells),
        "power": {"all": power[0].to_json(), "each_cell": power[1].to_json()},
    }


def free_id(name: str, digest: str, home: Path = HOME, private: Path = PRIVATE) -> str:
    """Name a folder that a build may use: its own, an empty one, or one that was never answered.

    Parameters
    ----------
    name : str
        Of the study.
    digest : str
        Of what is to be built.
    home : Path
        Folder of all reader studies.
    private : Path
        Folder of their answer keys.

    Returns
    -------
    str
        `name`, or that with the first number that is free.
    """
    names = itertools.chain([name], (f"{name}-{number}" for number in itertools.count(2)))
    return next(study_id for study_id in names if _may_use(study_id, name, digest, home, private))


def _digest(name: str, cells: Sequence[Cell], config: ReaderStudy, seed: int) -> str:
    sources = [
        [
            cell.cohort,
            cell.experiment,
            cell.family,
            cell.real.info.data_version,
            cell.synthetic.info.data_version,
            cell.selection.loc[cell.selection["side"] == "test", "row"].astype(int).tolist(),
        ]
        for cell in cells
    ]
    # Neither changes what readers see: a study that people have answered stays the same.
    shown = config.model_dump(mode="json", exclude={"margin", "simulate"})
    return value_digest([FORMAT, name, seed, shown, sources])


def _may_use(study_id: str, name: str, digest: str, home: Path, private: Path) -> bool:
    folder = home / study_id
    if _is_built(folder, private, digest):
        return True
    built = ServedStudy.read_if_whole(folder)
    return not has_answers(folder) and (built is None or built.study == name)


def _is_built(folder: Path, private: Path, digest: str) -> bool:
    """Whether just this study is there already, its answer key included."""
    built = ServedStudy.read_if_whole(folder)
    return built is not None and built.digest == digest and AnswerKey(private, folder.name, digest).is_there


def _numbered(items: pd.DataFrame, key: AnswerKey) -> pd.DataFrame:
    """Give each block's pictures numbers that say nothing, not even to those who know the study's seed."""
    blocks = []
    for block in (READING, TRAINING):
        own = items[items["block"] == block]
        rng = np.random.default_rng(key.seed(f"reader-pictures-{block}"))
        blocks.append(own.iloc[rng.permutation(len(own))].assign(picture=np.arange(len(own))))
    return pd.concat(blocks, ignore_index=True)


def _power(items: pd.DataFrame, config: ReaderStudy) -> tuple[Power, Power]:
    reading = items[items["block"] == READING]
    sizes = (len(reading), 2 * config.images)
    whole, part = (planned_power(config.count, size, config.margin) for size in sizes)
    return whole, part


def _write(
    folder: Path,
    key: AnswerKey,
    name: str,
    digest: str,
    cells: Sequence[Cell],
    config: ReaderStudy,
    items: pd.DataFrame,
    seed: int,
) -> None:
    """Write a study's files, the key first and study.json last, so that what is there is whole."""
    key.seal(items)
    folder.chmod(0o700)
    (folder / STUDY).unlink(missing_ok=True)
    packs = {block: _write_pack(folder, block, items, cells, config.side) for block in BLOCKS}
    training = items[items["block"] == TRAINING].sort_values("picture")
    write_json(folder / TRUTHS, training["truth"].tolist(), OWNER_ALONE)
    study = ServedStudy(
        study_id=folder.name,
        study=name,
        digest=digest,
        title=config.title,
        consent=config.consent,
        simulated=any(cell.real.info.simulated for cell in cells),
        side=config.side,
        ask_findings=config.ask_findings,
        allow_changes=config.allow_changes,
        findings={cell.cohort: cell.real.info.findings for cell in cells},
        packs=packs,
        readers=[_reader(number, items, seed) for number in range(1, config.count + 1)],
    )
    write_json(folder / STUDY, study.model_dump(mode="json"), OWNER_ALONE)


def _write_pack(folder: Path, block: Block, items: pd.DataFrame, cells: Sequence[Cell], side: int) -> Pack:
    own = items[items["block"] == block].sort_values("picture")
    pictures = []
    for number, truth, row in zip(own["cell"], own["truth"], own["row"], strict=True):
        store = cells[number].real if truth == REAL else cells[number].synthetic
        pictures.append(enlarge(np.asarray(store.images[row]), side))
    return Pack(digest=write_pictures(folder / f"{block}.bin", pictures, OWNER_ALONE), cohorts=own["cohort"].tolist())


def _reader(number: int, items: pd.DataFrame, seed: int) -> Reader:
    """Shuffle both blocks for one reader."""
    name = f"reader-{number:02d}"
    rng = np.random.default_rng(derive_seed(seed, "reader-order", source=name))
    training = rng.permutation(int((items["block"] == TRAINING).sum()))
    reading = items[items["block"] == READING]
    repeated = np.sort(reading.loc[reading["repeated"], "picture"].to_numpy(np.int64))
    order = reading_order(len(reading), repeated, rng)
    return Reader(name=name, training=training.tolist(), reading=order.tolist())
