"""What jobs ask a scheduler for: the rules ask by it, and `synthcohort plan` compares a study with it."""

from typing import NamedTuple

ATTEMPTS = 3
"""How often a job is begun on a cluster (`retries` in profiles/slurm, and one); each asks for as much again."""

MINUTES = {
    "draw": 240,
    "index": 240,
    "preprocess": 480,
    "merge": 240,
    "split": 120,
    "select_images": 60,
    "train_classifier": 720,
    "train_judge": 720,
    "train_generator": 1440,
    "train_stage": 1440,
    "grow": 20,
    "sample": 480,
    "utility": 240,
    "gallery": 60,
    "fidelity": 480,
    "neighbours": 480,
    "detection": 480,
    "attribution": 480,
    "select_shadows": 60,
    "privacy": 480,
    "metrics": 60,
    "reader_study": 60,
    "simulated_readers": 60,
    "reader_metrics": 60,
    "number_figures": 120,
    "training_figures": 60,
    "picture_figures": 60,
    "paper_pictures": 60,
    "cohort_figure": 60,
    "report": 60,
    "provenance": 240,
    "crate": 60,
    "release": 480,
}
"""Run time of a rule's job at its first attempt, several times what it takes in the studies of this repository."""
CONTINUED = {"train_classifier", "train_judge", "train_generator", "train_stage"}
"""Rules that go on from a checkpoint, so that their attempts add up; every other job must fit into its last."""


class Tables(NamedTuple):
    """Memory of jobs that hold a table with a row for each file of a cohort, so that it grows with the cohort.

    Attributes
    ----------
    own_mb, embedded_mb : int
        What a job asks for at its first attempt, for own data and for an embedded cohort.
    bytes_per_file : float
        What it takes.
    """

    own_mb: int
    embedded_mb: int
    bytes_per_file: float


TABLES = {
    "index": Tables(8000, 2000, 2.7e3),
    "split": Tables(8000, 2000, 4e3),
    "select_images": Tables(2000, 1000, 1.2e3),
}
"""By rule. Index holds the label table alone, of which 2.7 kB were measured per image where it has six rows for each,
as RSNA's, and 0.25 kB where it has one with six findings; select_images took 1.1 kB, with six findings; split was not
measured."""


def minutes_at_most(rule: str) -> int:
    """Give the longest that a rule's job may take over all attempts."""
    attempts = range(1, ATTEMPTS + 1)
    return MINUTES[rule] * (sum(attempts) if rule in CONTINUED else max(attempts))


def training_mb(side: int, processes: int, on_card: bool) -> int:
    """Memory of a generator's training in MB.

    Without a card it holds activations, which grow with the pixels: 3.2 GB were measured at 128² in batches of 8
    (docs/evidence/generator-speed.csv); whole batches are larger. With one it holds CUDA and what is on its way there.
    """
    each = 8000 if on_card else 3000 + 5000 * (side / 128) ** 2
    return round(processes * each)
