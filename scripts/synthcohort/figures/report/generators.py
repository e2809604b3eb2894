"""What each generator cost, which state of it was kept, and whether it copies training images."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from synthcohort.core.atomic import read_json
from synthcohort.core.experiment import REAL
from synthcohort.core.plan import Plan
from synthcohort.figures.captions import alarm_sentences
from synthcohort.figures.limits import Copying
from synthcohort.figures.numbers import kimg_text
from synthcohort.figures.report.table import Table, duration
from synthcohort.figures.style import display_name
from synthcohort.measures.distances import COPY_ALARM

SLACK = 1e-6  # kimg, for rounding


@dataclass(frozen=True)
class GeneratorRun:
    """One trained generator.

    Attributes
    ----------
    cohort, experiment, family, replicate : str
    card : mapping
        generator.json.
    history : pandas.DataFrame
        history.csv: at least ``kimg``; ``copied``, blank between evaluations; ``stage`` where the family grows.
    seconds : float
        Wall time of training: of all its stages and, for a guided generator, of its guide; NaN where not measured.
    guide_seconds : float
        The guide's part; 0 without one.
    """

    cohort: str
    experiment: str
    family: str
    replicate: str
    card: Mapping[str, Any]
    history: pd.DataFrame
    seconds: float = float("nan")
    guide_seconds: float = 0.0

    @classmethod
    def read(cls, folder: str | Path, plan: Plan, benchmarks: pd.DataFrame) -> "GeneratorRun":
        """Read ``…/{cohort}/{experiment}/{family}/{replicate}``; `benchmarks` as `read_benchmarks` gives them."""
        folder = Path(folder)
        cohort, experiment, family, replicate = folder.parts[-4:]
        card = read_json(folder / "generator.json")
        history = pd.read_csv(folder / "history.csv")
        seconds = job_seconds(benchmarks, training_jobs(plan, cohort, experiment, family, replicate))
        guide = 0.0
        if card["guided"] or plan.generator(family).candidates > 1:
            guide = job_seconds(benchmarks, [("train_classifier", f"{cohort}-{experiment}-{REAL}-{replicate}")])
        return cls(cohort, experiment, family, replicate, card, history, seconds + guide, guide)

    @property
    def looks(self) -> pd.DataFrame:
        """``kimg`` and ``copied`` of each evaluation; of a growth only those of its last stage."""
        if "copied" not in self.history:
            return pd.DataFrame({"kimg": [], "copied": []})
        rows = self.history.dropna(subset="copied")
        if "stage" in rows:
            rows = rows[rows["stage"] == self.history["stage"].max()]
        return rows[["kimg", "copied"]]

    @property
    def copied(self) -> float | None:
        """Estimated share of the kept state's samples that copy a training image; None where it was not looked at."""
        before = self.looks.loc[self.looks["kimg"] <= self.card["kimg"] + SLACK, "copied"]
        return float(before.iloc[-1]) if len(before) else self.card["copied"]

    @property
    def began(self) -> float | None:
        """After how many kimg it first copied enough for the alarm; None where it never did."""
        alarms = self.looks.loc[self.looks["copied"] >= COPY_ALARM, "kimg"]
        return float(alarms.iloc[0]) if len(alarms) else None

    @property
    def ever_copied(self) -> bool:
        """Whether any state, also of an earlier stage, copied enough for the alarm."""
        return "copied" in self.history and bool((self.history["copied"] >= COPY_ALARM).any())

    @property
    def alarm(self) -> bool:
        """Whether the memorisation alarm was raised before, or with, the state that was kept."""
        return self.began is not None and self.began <= self.card["kimg"] + SLACK


def training_jobs(plan: Plan, cohort: str, experiment: str, family: str, replicate: str) -> list[tuple[str, str]]:
    """Name the rule and job of everything that a generator's training took, as its benchmarks are named."""
    if family not in plan.growing:
        return [("train_generator", f"{cohort}-{experiment}-{family}-{replicate}")]
    return [
        ("train_stage", f"{cohort}-{home}-{family}-{replicate}-{side:03d}")
        for home, side in plan.stages(cohort, experiment, family)
    ]


def job_seconds(benchmarks: pd.DataFrame, jobs: list[tuple[str, str]]) -> float:
    """Add up the seconds of jobs; NaN where one of them was not measured."""
    measured = benchmarks.set_index(["rule", "job"])["seconds"]
    return float(measured.reindex(jobs).sum(skipna=False))


def generator_tables(generators: list[GeneratorRun], stops: bool) -> list[Table]:
    """Cost, kept state and copies of each generator, a table per cohort.

    Parameters
    ----------
    generators : list of GeneratorRun
    stops : bool
        Whether the stop rule is on.
    """
    several = ["Replicate"] if len({run.replicate for run in generators}) > 1 else []
    words = ["Experiment", "Family", *several, "Copies", "Ended; state kept by"]
    tables = []
    for cohort in dict.fromkeys(run.cohort for run in generators):
        rows = []
        for run in generators:
            if run.cohort == cohort:
                names = [run.experiment, run.family, *([run.replicate] if several else [])]
                kimg = f"{kimg_text(run.card['kimg'])} of {kimg_text(run.card['trained_kimg'])}"
                guide = _time(run.guide_seconds) if run.guide_seconds else "–"
                rows.append([*names, _copies(run), _end(run, stops), kimg, _time(run.seconds), guide])
        columns = [*words, "kimg kept", "Training time", "of it guide"]
        caption = f"What each generator of {cohort} cost and kept"
        tables.append(Table(caption, columns, rows, words=len(words)))
    return tables


def _end(run: GeneratorRun, stops: bool) -> str:
    """Say whether training ended early, and which distance in whose features chose the state that was kept."""
    end = "early" if run.card["stopped_early"] else "full length"
    metric = run.card["stop_metric"]
    return f"{end}; {display_name(metric)}, {run.card['stop_features']}" if stops and metric else f"{end}; last"


def _copies(run: GeneratorRun) -> str:
    if run.copied is None:
        return "not looked for"
    share = f"{max(0.0, run.copied):.1%}"
    if run.began is None:
        return share
    began = f"{kimg_text(run.began)} kimg"
    return f"ALARM: {share}, since {began}" if run.alarm else f"{share} (alarm later, at {began})"


def _time(seconds: float) -> str:
    return "–" if pd.isna(seconds) else duration(seconds)


def copying(runs: Sequence[GeneratorRun]) -> dict[tuple[str, str, str], Copying]:
    """Say of each cohort, experiment and family whether any of its replicates copies, and how much at most."""
    seen: dict[tuple[str, str, str], Copying] = {}
    for run in runs:
        if run.copied is not None:
            key = run.cohort, run.experiment, run.family
            alarm, share = seen.get(key, (False, 0.0))
            seen[key] = Copying(alarm or run.alarm, max(share, run.copied))
    return seen


def alarms(generators: list[GeneratorRun]) -> tuple[str, str] | None:
    """Say which generators copy training images: a sentence for the answer and one for the limits; None without any."""
    raised: dict[tuple[str, str, str], list[GeneratorRun]] = {}
    for run in generators:
        if run.alarm:
            raised.setdefault((run.cohort, run.experiment, run.family), []).append(run)
    if not raised:
        return None
    return alarm_sentences([(*key, max(run.copied or 0.0 for run in runs)) for key, runs in raised.items()])
