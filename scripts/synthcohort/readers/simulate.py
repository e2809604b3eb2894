"""Simulated readers: programs of an ability that is set by hand, who answer as people do, over HTTP.

They know the truth and are wrong as often as their ability says. What they answer says nothing about the images; it
shows that the study works, and that its analysis finds the ability again.
"""

import shutil
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray
from scipy.stats import norm

from synthcohort.core.atomic import write_json
from synthcohort.core.progress import logger
from synthcohort.readers.answers import ANSWERS, HOME
from synthcohort.readers.client import ReaderClient
from synthcohort.readers.key import AnswerKey
from synthcohort.readers.order import reading_order
from synthcohort.readers.results import read_results
from synthcohort.readers.select import READING, SYNTHETIC
from synthcohort.readers.serve import served_here
from synthcohort.readers.study import LOCK, PRIVATE, STUDY, Reader, ServedStudy
from synthcohort.readers.tables import SIMULATED

LOWEST, RISE, HIGHEST = 0.55, 0.1, 0.95
"""Accuracy at the lowest resolution, how it rises with every doubling of the side, and where that ends."""
STEPS = (0.25, 0.6, 1.0, 1.5)
"""Distances from indifference at which readers become surer."""
TOGETHER = 8
"""Readers who answer at the same time."""
NOT_KEPT = [
    "seconds",
    "seconds_client",
    "interrupted",
    "answered_at",
    "consented_at",
    "comment",
    "findings",
    "image_id",
]
"""What is another in every run, or says nothing, or would name a picture."""


class Spread(NamedTuple):
    """How readers and images differ: standard deviations, that of a single look being 1."""

    readers: float = 0.15
    images: float = 0.4
    bias: float = 0.3
    """Of the readers' inclination to call images synthetic."""


def draw_opinions(
    is_synthetic: ArrayLike,
    separation: ArrayLike,
    readers: int,
    rng: np.random.Generator,
    spread: Spread = Spread(),  # noqa: B008 - never changed
    showings: int = 1,
) -> NDArray[np.float64]:
    """Draw what readers think of images (signal detection theory: Green and Swets 1966).

    Parameters
    ----------
    is_synthetic : array_like, shape (images,)
        1 for synthetic images, 0 for real ones.
    separation : array_like, shape (images,), or float
        Distance d′ of real and synthetic images in what readers perceive; 0: readers guess.
    readers : int
        Number of readers.
    rng : numpy.random.Generator
        Source of randomness.
    spread : Spread
        How readers and images differ.
    showings : int
        How often each image is shown.

    Returns
    -------
    ndarray, shape (readers, images, showings)
        float64; above 0 a reader takes an image for synthetic, and the farther from 0, the surer.
    """
    sign = 2 * np.asarray(is_synthetic, np.float64) - 1
    of_readers = rng.normal(0, spread.readers, (readers, 1))
    of_images = rng.normal(0, spread.images, (1, len(sign)))
    bias = rng.normal(0, spread.bias, (readers, 1))
    meant = sign * (np.asarray(separation, np.float64) / 2 + of_readers + of_images) + bias
    return meant[:, :, None] + rng.normal(size=(readers, len(sign), showings))


def separation_for(accuracy: ArrayLike, spread: Spread = Spread()) -> NDArray[np.float64]:  # noqa: B008
    """Find the separation at which all readers that could be drawn have an accuracy on all images that could be drawn.

    Both kinds of images are as many, so that a reader's inclination to either makes errors of both kinds.
    """
    total = 1 + spread.readers**2 + spread.images**2 + spread.bias**2
    return np.asarray(2 * total**0.5 * norm.ppf(accuracy), np.float64)


def simulate_readers(study_id: str, seed: int, home: Path = HOME, private: Path = PRIVATE) -> pd.DataFrame:
    """Serve a copy of a reader study, let simulated readers answer all of it, and bring their answers to the truth.

    The study itself is left as it is: its answers are people's. The copy has readers of its own, each with another
    order than any person, and its pictures get other numbers afterwards: these results tell nobody what a served image
    is.

    Parameters
    ----------
    study_id : str
        Of the built study.
    seed : int
        Of the readers' abilities, orders and answers.
    home, private : Path
        Folders of all reader studies and of their answer keys.

    Returns
    -------
    pandas.DataFrame
        As `results.read_results` gives it, without `NOT_KEPT`; ``simulated`` is true throughout.
    """
    study = ServedStudy.read(home / study_id)
    key = AnswerKey(private, study_id, study.digest).open()
    # Sorted by what does not hang on the secret, so that another build of the same study gets the same answers.
    items = key[key["block"] == READING].sort_values(["cell", "truth", "image_id"], ignore_index=True)
    rng = np.random.default_rng(seed)
    opinions = _draw_for(items, len(study.readers), rng)
    repeated = np.flatnonzero(items["repeated"])
    orders = [reading_order(len(items), repeated, rng) for _ in study.readers]
    copied = study.model_copy(update={"readers": [_reader(study, *one, items) for one in enumerate(orders, start=1)]})
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder) / study_id
        shutil.copytree(home / study_id, copy, ignore=shutil.ignore_patterns(f"{ANSWERS}*", LOCK))
        write_json(copy / STUDY, copied.model_dump(mode="json"))
        with served_here(copy) as links, ThreadPoolExecutor(TOGETHER) as pool:
            told = [
                pool.submit(_read, links[reader.name], own[order, _showing(order)])
                for reader, order, own in zip(copied.readers, orders, opinions, strict=True)
            ]
            for number, answered in enumerate(told, start=1):
                logger.info("simulated reader %d of %d answered %d images", number, len(told), answered.result())
        results = read_results(study_id, Path(folder), private)
    numbers = dict(zip(items["picture"], items.index, strict=True))
    return results.assign(picture=results["picture"].map(numbers)).drop(columns=NOT_KEPT)


def _draw_for(items: pd.DataFrame, readers: int, rng: np.random.Generator) -> NDArray[np.float64]:
    """Opinions ``[readers, items, 2]``; images of higher resolution are easier to tell."""
    sides = items["resolution"].to_numpy(float)
    separation = separation_for(np.minimum(HIGHEST, LOWEST + RISE * np.log2(sides / sides.min())))
    return draw_opinions(items["truth"] == SYNTHETIC, separation, readers, rng, showings=2)


def _reader(study: ServedStudy, number: int, order: NDArray[np.int64], items: pd.DataFrame) -> Reader:
    """Make a simulated reader, who gets items in this order."""
    pictures = items["picture"].to_numpy()[order].tolist()
    return Reader(name=f"{SIMULATED}-{number:02d}", training=study.readers[0].training, reading=pictures)


def _showing(order: NDArray[np.int64]) -> NDArray[np.int64]:
    """0 where an item is shown for the first time, 1 for the second."""
    return np.asarray(pd.Series(order).groupby(order).cumcount(), np.int64)


def _read(link: str, opinions: NDArray[np.float64]) -> int:
    """Answer everything; return how many images that were."""
    count = 0
    with ReaderClient(link) as reader:
        state = reader.agree()
        while state.stage != "done":
            reader.look(state)
            opinion = opinions[state.number - 1] if state.stage == READING else 1.0
            state = reader.answer(state, bool(opinion > 0), confidence_of(opinion))
            count += 1
    return count


def confidence_of(opinion: float) -> int:
    """Say how sure an opinion is, from 1 to 5."""
    return 1 + int(np.digitize(abs(opinion), STEPS))
