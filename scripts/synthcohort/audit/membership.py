"""Who is attacked, with what an attacker knows, and synthetic samples whose membership is known: the controls."""

from collections.abc import Iterator, Mapping
from itertools import product
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from synthcohort.audit.detection import match_labels
from synthcohort.audit.judge import noised
from synthcohort.audit.neighbours import Rows, Space, equal_sides, spaces
from synthcohort.audit.privacy_vocabulary import CALIBRATED, CLOSEST_RECORD, DENSITY_RATIO, THIRD_GROUP
from synthcohort.audit.vocabulary import SPACES
from synthcohort.classify.joined import JoinedStore
from synthcohort.classify.networks import Network
from synthcohort.core.errors import TooFewImagesError, UserError
from synthcohort.core.experiment import REAL
from synthcohort.core.store import Images, ImageStore
from synthcohort.measures.attack_scores import calibrated_distance, closest_record, density_ratio
from synthcohort.measures.attacks import Scores
from synthcohort.measures.fidelity import patient_groups
from synthcohort.measures.neighbours import Readable, in_blocks

PIXELS = SPACES[1]
LIMIT = 10_000
"""Members at most, and images that densities are estimated from: a rate of 0.1 % can just be resolved."""
MEMORY = 2**30
"""Bytes of replayed images at most."""
FEWEST = 10
"""Images of each group at least."""
NOISE = 4.0
"""Standard deviation of a replayed image's noise, of 255 grey levels: the judge's features change with more."""
PIXEL_SIDE = 32
"""Pixels are compared at this side at most: larger images are averaged."""
Moves = tuple[tuple[int, int, bool], ...]
SHIFTS: Moves = tuple(product((-1, 0, 1), (-1, 0, 1), (False,)))
"""Steps (down, right) by which a replayed image may lie beside its original, and that it is not mirrored."""
MIRRORED: Moves = tuple(product((-1, 0, 1), (-1, 0, 1), (False, True)))
"""The same where generators were shown mirrored images, too, and so may replay them; see `move`."""


class Groups(NamedTuple):
    """Rows of the cohort's store by what the attacker makes of them; no patient is in two groups."""

    members: Rows
    """Images that the generator was trained on."""
    non_members: Rows
    """Test images; entry i has the labels of member i."""
    reference: Rows
    """Images that tell the attacker what the population looks like: half of the validation patients."""
    third: Rows
    """Images of the other half, which a control replays."""

    @property
    def candidates(self) -> Rows:
        """Images that the attacker holds: members, then non-members."""
        return np.concatenate([self.members, self.non_members])


class Sample(NamedTuple):
    """Synthetic images: a generator's, or a control's."""

    source: str
    role: str
    control: str
    images: Readable
    """uint8 ``[N, C, H, W]``."""
    groups: NDArray[Any]
    """``[N]``: who is resampled together."""


def audit_spaces(judge: Network) -> list[Space]:
    """Judge's features and pixels, as `neighbours.spaces` has them, pixels at `PIXEL_SIDE` at most."""
    judged, pixels = spaces(judge).values()
    return [judged, pixels._replace(vectors=average_down)]


def average_down(images: Images) -> Images:
    """Average uint8 images ``[n, C, H, W]`` to `PIXEL_SIDE`, rounded, where they are larger."""
    factor = max(1, images.shape[-1] // PIXEL_SIDE)
    if factor == 1:
        return np.asarray(images)
    side = images.shape[-1] // factor
    return np.rint(images.reshape(*images.shape[:2], side, factor, side, factor).mean((3, 5))).astype(np.uint8)


def space_vectors(space: Space, images: Readable, rows: Rows | None = None) -> NDArray[Any]:
    """Vectors of images of a store, or of some of its rows, which are read block by block."""
    return np.concatenate([space.vectors(block) for block in in_blocks(images, rows)])


def choose_groups(real: ImageStore, selection: pd.DataFrame, rng: np.random.Generator) -> Groups:
    """Choose who is attacked.

    Members and non-members have the same label combinations equally often. They are drawn from as many images of whole
    patients on both sides, so that patients of both kinds have about as many images.

    Parameters
    ----------
    real : ImageStore
        The cohort.
    selection : pandas.DataFrame
        The experiment's rows of `real`: ``row``, ``patient_id``, ``side`` (train, valid or test).
    rng : numpy.random.Generator
        Makes the choices; patients' names do not matter.

    Returns
    -------
    Groups

    Raises
    ------
    UserError
        When a patient is on two sides, or a side is empty.
    TooFewImagesError
        When a group has fewer than `FEWEST` images.
    """
    train, valid, test = (selection[selection["side"] == side] for side in ("train", "valid", "test"))
    if set(valid["patient_id"]) & {*train["patient_id"], *test["patient_id"]}:
        raise UserError("split: a patient is on two sides, so privacy cannot be audited; split the cohort again.")
    sides = equal_sides(train, test, rng)
    limit = min(LIMIT, MEMORY // real.images[0].nbytes)
    members, non_members = match_labels(real.labels, sides.training, real.labels, sides.held_out, limit, rng)
    half = patient_groups(valid["patient_id"], 2, rng)
    reference, third = (valid["row"].to_numpy()[half == number] for number in (0, 1))
    groups = Groups(members, non_members, reference, third)
    for name, rows in groups._asdict().items():
        if len(rows) < FEWEST:
            raise TooFewImagesError(
                f"split: the privacy audit needs {FEWEST} images in each of its groups, and there are {len(rows)} "
                f"{name.replace('_', '-')} ones; use more patients."
            )
    return groups


def audited_samples(
    synthetic: Mapping[str, ImageStore | JoinedStore],
    real: ImageStore,
    selection: pd.DataFrame,
    groups: Groups,
    moves: Moves,
    rng: np.random.Generator,
) -> list[Sample]:
    """Put the families' samples beside those of two "generators" that replay real images.

    The first replays training images, the members and as many others: it must be caught. The second replays patients
    whom nobody attacks: no attack may find anything.
    """
    training = selection.loc[selection["side"] == "train", "row"].to_numpy()
    others = rng.permutation(np.setdiff1d(training, groups.members))[: len(groups.members)]
    replayed = np.concatenate([groups.members, others])
    patients = selection.set_index("row")["patient_id"]

    def replayed_sample(role: str, control: str, rows: Rows) -> Sample:
        return Sample(REAL, role, control, replay(real.images, rows, moves, rng), patients.reindex(rows).to_numpy())

    return [
        *(Sample(name, "value", "", store.images, np.arange(len(store))) for name, store in synthetic.items()),
        replayed_sample("positive_control", "", replayed),
        replayed_sample("negative_control", THIRD_GROUP, groups.third),
    ]


def replay(images: Images, rows: Rows, moves: Moves, rng: np.random.Generator) -> Images:
    """Repeat images as a generator would that knows nothing else, moved a little and with noise.

    Parameters
    ----------
    images : numpy.ndarray
        uint8 ``[N, C, H, W]``, may be memory-mapped.
    rows : numpy.ndarray
        int64 ``[n]``: which of them.
    moves : tuple
        How a replayed image may differ: `SHIFTS` or `MIRRORED`.
    rng : numpy.random.Generator
        Draws one of `moves` for each, and noise (`NOISE`).

    Returns
    -------
    numpy.ndarray
        uint8 ``[n, C, H, W]``.
    """
    repeated = np.empty((len(rows), *images.shape[1:]), np.uint8)
    drawn = rng.integers(len(moves), size=len(rows))
    for number, steps in enumerate(moves):
        chosen = drawn == number
        repeated[chosen] = move(images[rows[chosen]], *steps)
    return np.concatenate([noised(block, NOISE, rng) for block in in_blocks(repeated)])


def move(images: Images, down: int, right: int, mirrored: bool) -> Images:
    """Move uint8 images ``[n, C, H, W]`` by steps of a pixel, of larger ones of a `PIXEL_SIDE`-th; edges repeat.

    Where asked for, they are mirrored left to right first.
    """
    images = images[..., ::-1] if mirrored else images
    side = images.shape[-1]
    step = max(1, side // PIXEL_SIDE)
    padded = np.pad(images, ((0, 0), (0, 0), (step, step), (step, step)), mode="edge")
    top, left = step * (1 - down), step * (1 - right)
    return padded[:, :, top : top + side, left : left + side]


class Candidates:
    """Images that an attacker holds, and a reference, as vectors of one space.

    Parameters
    ----------
    space : Space
        What distances are measured in.
    real : ImageStore
        The cohort.
    groups : Groups
        Who is attacked.
    moves : tuple
        How a synthetic image may differ from one that it repeats.
    """

    def __init__(self, space: Space, real: ImageStore, groups: Groups, moves: Moves) -> None:
        self.space = space
        images = real.images[groups.candidates]
        self.vectors = space_vectors(space, images)
        self.moved = [space_vectors(space, move(images, *steps)) for steps in moves]
        self.reference = space_vectors(space, real.images, groups.reference)
        self.closest_in_reference = self.closest(self.reference)

    def closest(self, records: NDArray[Any]) -> Scores:
        """Minus the distance to the closest record, whichever of the moves brings each candidate there."""
        return np.max([closest_record(vectors, records, self.space.metric) for vectors in self.moved], axis=0)

    def attack(self, synthetic: NDArray[Any], rng: np.random.Generator) -> Iterator[tuple[str, Scores]]:
        """Attack a synthetic sample's vectors in every way that needs nothing more; scores ``[candidates]``.

        Densities are estimated from features alone, and from `LIMIT` synthetic images at most, chosen at random.
        """
        closest = self.closest(synthetic)
        yield CLOSEST_RECORD, closest
        yield CALIBRATED, calibrated_distance(closest, self.closest_in_reference)
        if self.space.name != PIXELS:
            thinned = synthetic[np.sort(rng.permutation(len(synthetic))[:LIMIT])]
            yield DENSITY_RATIO, density_ratio(self.vectors, thinned, self.reference)
