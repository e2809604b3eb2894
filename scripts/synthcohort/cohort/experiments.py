"""Which images each experiment trains on and is tested with."""

import numpy as np
import pandas as pd

from synthcohort.cohort.findings import finding_list
from synthcohort.cohort.labels import combination_names
from synthcohort.cohort.split import Side
from synthcohort.core.cohort_config import Cohort
from synthcohort.core.config import Axis, Statistics
from synthcohort.core.errors import UserError
from synthcohort.core.experiment import Experiment
from synthcohort.core.seeds import derive_seed

WHOLE = ("resolution", "amount")
"""Axes whose experiments use the whole cohort; the others choose combinations, and images of each."""


class CohortImages:
    """A cohort's accepted images with sides and combinations, ready to be selected from.

    Parameters
    ----------
    cohort : Cohort
        Its config.
    records : pandas.DataFrame
        Row i describes image i of every store: ``image_id``, ``patient_id`` and finding columns.
    findings : list of str
        Label columns.
    split : pandas.DataFrame
        ``patient_id``, ``side``.
    study_seed : int
        The study's seed.
    unequal_totals : bool
        classes axis: levels have their own number of images per combination (`Protocol`).

    Attributes
    ----------
    table : pandas.DataFrame
        One row per image whose labels are all known and whose combination has at least `minimum_combination` training
        images: ``row``, ``image_id``, ``patient_id``, ``side``, ``combination`` (0 = most frequent), ``draw`` (a seeded
        random order within the combination, shared by all experiments so that smaller selections lie within larger).
    names : list of str
        Names of the combinations, most frequent in training first.
    """

    def __init__(
        self,
        cohort: Cohort,
        records: pd.DataFrame,
        findings: list[str],
        split: pd.DataFrame,
        study_seed: int,
        unequal_totals: bool = False,
    ) -> None:
        self.cohort = cohort
        self.findings = findings
        self.unequal_totals = unequal_totals
        self.labels = records[findings]
        table = pd.DataFrame(
            {
                "row": np.arange(len(records)),
                "image_id": records["image_id"],
                "patient_id": records["patient_id"],
                "side": records["patient_id"].map(split.set_index("patient_id")["side"]),
                "name": combination_names(self.labels),
            }
        )
        rng = np.random.default_rng(derive_seed(study_seed, "selection", cohort.name))
        table["draw"] = rng.permutation(len(table))
        table = self._limited(table)
        counts = table[table["side"] == "train"]["name"].value_counts()
        counts = counts[counts >= cohort.minimum_combination]
        self.names = sorted(counts.index, key=lambda name: (-counts[name], name))
        number = {name: position for position, name in enumerate(self.names)}
        table["combination"] = table["name"].map(number)
        kept = table.dropna(subset=["combination"]).astype({"combination": np.int64})
        self.table = kept.drop(columns="name").reset_index(drop=True)
        self.left_out = len(records) - len(self.table)

    def _limited(self, table: pd.DataFrame) -> pd.DataFrame:
        """Keep `maximum_combination` images of the combinations that it names, the first in the seeded order."""
        missing = sorted(set(self.cohort.maximum_combination) - set(table["name"].dropna()))
        if missing:
            raise UserError(
                f"cohort {self.cohort.name}: maximum_combination names '{missing[0]}', but no image has exactly these "
                "findings; join a combination's findings by + in the order of the label columns."
            )
        limit = table["name"].map(self.cohort.maximum_combination).fillna(np.inf)
        turn = table.sort_values("draw").groupby("name")["draw"].cumcount()
        return table[~(turn.reindex(table.index) >= limit)].copy()

    def train_counts(self, axis: Axis | None = None) -> list[int]:
        """Training images of each combination (of those that `axis` uses), most frequent first."""
        table = self.table if axis is None else self._usable(axis)
        train = table[table["side"] == "train"]
        return train["combination"].value_counts().sort_index().tolist()

    def select(self, experiment: Experiment) -> pd.DataFrame:
        """Select an experiment's images.

        Returns
        -------
        pandas.DataFrame
            Columns ``row``, ``image_id``, ``patient_id``, ``side``, ``combination``, in the order of ``row``.

        Raises
        ------
        UserError
            When the cohort cannot fill the level; names the largest feasible one.
        """
        axis, level = experiment.axis, experiment.level
        self._check_feasible(axis, level)
        table = self._usable(axis).sort_values("draw")
        if (combinations := _combinations(axis, level)) is not None:
            table = table[table["combination"] < combinations]
        parts = []
        for side, quota in self.quotas(axis, level).items():
            part = table[table["side"] == side]
            if quota is not None:
                part = part.head(quota) if axis.axis in WHOLE else part.groupby("combination").head(quota)
            if part.empty:
                raise UserError(
                    f"cohort {self.cohort.name}, experiment {experiment.name}: no image is left on the {side} side; "
                    "use more patients, or lower minimum_combination."
                )
            parts.append(part)
        return pd.concat(parts).drop(columns="draw").sort_values("row", ignore_index=True)

    def quotas(self, axis: Axis, level: int) -> dict[Side, int | None]:
        """Say how many images each side has, at most: in all on the axes in `WHOLE`, elsewhere per combination."""
        train = None
        if axis.axis == "classes":
            train = axis.images[level] if self.unequal_totals else axis.train_images // level
        elif axis.axis == "samples":
            train = level
        return {"train": train, "valid": axis.valid_images, "test": axis.test_images}

    def _usable(self, axis: Axis) -> pd.DataFrame:
        """Take the images whose combination is frequent enough for an axis, combinations numbered anew."""
        sizes = self.table["combination"].value_counts()
        usable = np.sort(sizes.index[sizes >= axis.minimum_images])
        table = self.table[self.table["combination"].isin(usable)]
        return table.assign(combination=np.searchsorted(usable, table["combination"]))

    def _check_feasible(self, axis: Axis, level: int) -> None:
        counts = self.train_counts(axis)
        where = f"cohort {self.cohort.name}, axis {axis.axis}, level {level}"
        if len(counts) < 2:
            mend = f"minimum_images of {axis.minimum_images} images or the " if axis.minimum_images else ""
            raise UserError(
                f"{where}: fewer than two label combinations have the {mend}minimum_combination of "
                f"{self.cohort.minimum_combination} training images; lower it, or use more images."
            )
        quota = self.quotas(axis, level)["train"]
        if axis.axis == "classes":
            self._check_classes(axis, level, counts, where)
        elif axis.axis == "samples" and quota is not None:
            combinations = _combinations(axis, level) or len(counts)
            if len(counts) < combinations:
                raise UserError(
                    f"{where}: only {len(counts)} combinations can be used; lower the axis' combinations to that."
                )
            smallest = counts[combinations - 1]
            if quota > smallest and not axis.take_fewer:
                raise UserError(
                    f"{where}: combination {combinations} has only {smallest} training images; "
                    f"the largest feasible level is {smallest}."
                )

    def _check_classes(self, axis: Axis, level: int, counts: list[int], where: str) -> None:
        def fills(classes: int) -> bool:
            own = self.unequal_totals and classes not in axis.images
            quota = 0 if own or axis.take_fewer else self.quotas(axis, classes)["train"] or 0
            return counts[classes - 1] >= quota

        feasible = [classes for classes in range(2, len(counts) + 1) if fills(classes)]
        if level in feasible:
            return
        largest = f"the largest feasible level is {max(feasible)}" if feasible else "no level is feasible"
        if self.unequal_totals:
            raise UserError(f"{where}: too few images for the axis' images; {largest}.")
        mend = f", or train_images of at most {counts[level - 1] * level}" if level <= len(counts) else ""
        raise UserError(f"{where}: too few images for train_images {axis.train_images}; {largest}{mend}.")

    def averaged_findings(self, selection: pd.DataFrame, statistics: Statistics) -> list[str]:
        """Name the findings with enough positive and enough negative test patients for a mean over findings."""
        test = selection[selection["side"] == "test"]
        values = self.labels.iloc[test["row"]]
        patients = test["patient_id"].to_numpy()
        enough = statistics.minimum_positive_patients
        return [
            finding
            for finding in self.findings
            if all(len(set(patients[values[finding].to_numpy() == label])) >= enough for label in (0, 1))
        ]


def _combinations(axis: Axis, level: int) -> int | None:
    """How many combinations a level uses; None for all."""
    if axis.axis == "classes":
        return level
    return None if axis.axis in WHOLE or axis.combinations == "all" else axis.combinations


def experiments_table(images: CohortImages, experiments: list[Experiment], statistics: Statistics) -> pd.DataFrame:
    """Check every experiment of a cohort against its images, and count them.

    Returns
    -------
    pandas.DataFrame
        One row per experiment: ``experiment``, ``axis``, ``level``, ``resolution``, ``combinations``; per side images,
        patients, and ``short`` (images that were asked for, but that the cohort does not have); ``averaged`` and
        ``common`` (findings, separated by semicolons: those with enough test patients, and those of them that are
        common to all levels of the axis).

    Raises
    ------
    UserError
        When a level cannot be filled.
    """
    rows = []
    for experiment in experiments:
        selection = images.select(experiment)
        row: dict[str, object] = {
            "experiment": experiment.name,
            "axis": experiment.axis.axis,
            "level": experiment.level,
            "resolution": experiment.resolution,
            "combinations": selection["combination"].nunique(),
        }
        whole = 1 if experiment.axis.axis in WHOLE else selection["combination"].nunique()
        for side, quota in images.quotas(experiment.axis, experiment.level).items():
            chosen = selection[selection["side"] == side]
            row[f"{side}_images"] = len(chosen)
            row[f"{side}_patients"] = chosen["patient_id"].nunique()
            row[f"{side}_short"] = 0 if quota is None else quota * whole - len(chosen)
        row["averaged"] = ";".join(images.averaged_findings(selection, statistics))
        rows.append(row)
    table = pd.DataFrame(rows)
    table["common"] = table.groupby("axis")["averaged"].transform(_common)
    return table


def _common(levels: pd.Series) -> str:
    sets = [set(finding_list(text)) for text in levels]
    first = finding_list(levels.iloc[0])
    return ";".join(finding for finding in first if all(finding in other for other in sets))
