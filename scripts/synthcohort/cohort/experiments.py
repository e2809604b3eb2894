"""Which images each experiment trains on and is tested with."""

import numpy as np
import pandas as pd

from synthcohort.cohort.labels import combination_names
from synthcohort.cohort.split import SIDES
from synthcohort.core.config import Axis, Cohort, Statistics
from synthcohort.core.errors import UserError
from synthcohort.core.plan import Experiment
from synthcohort.core.seeds import derive_seed


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
        self, cohort: Cohort, records: pd.DataFrame, findings: list[str], split: pd.DataFrame, study_seed: int
    ) -> None:
        self.cohort = cohort
        self.findings = findings
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
        counts = table[table["side"] == "train"]["name"].value_counts()
        counts = counts[counts >= cohort.minimum_combination]
        self.names = sorted(counts.index, key=lambda name: (-counts[name], name))
        number = {name: position for position, name in enumerate(self.names)}
        table["combination"] = table["name"].map(number)
        self.left_out = int(table["combination"].isna().sum())
        kept = table.dropna(subset=["combination"]).astype({"combination": np.int64})
        self.table = kept.drop(columns="name").reset_index(drop=True)

    def train_counts(self) -> list[int]:
        """Training images of each combination, most frequent first."""
        train = self.table[self.table["side"] == "train"]
        return [int((train["combination"] == number).sum()) for number in range(len(self.names))]

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
        table = self.table
        if axis.axis == "classes":
            table = _cap_training(table[table["combination"] < level], axis.train_images // level)
        elif axis.axis == "samples":
            table = _cap_training(table[table["combination"] < axis.combinations], level)
        selection = table.drop(columns="draw").sort_values("row", ignore_index=True)
        for side in SIDES:
            if not (selection["side"] == side).any():
                raise UserError(
                    f"cohort {self.cohort.name}, experiment {experiment.name}: no image is left on the {side} side; "
                    "use more patients, or lower minimum_combination."
                )
        return selection

    def _check_feasible(self, axis: Axis, level: int) -> None:
        counts = self.train_counts()
        where = f"cohort {self.cohort.name}, axis {axis.axis}, level {level}"
        if len(counts) < 2:
            raise UserError(
                f"{where}: fewer than two label combinations have the minimum_combination of "
                f"{self.cohort.minimum_combination} training images; lower it, or use more images."
            )
        if axis.axis == "classes":
            feasible = [k for k in range(2, len(counts) + 1) if counts[k - 1] >= axis.train_images // k]
            if level not in feasible:
                largest = f"the largest feasible level is {max(feasible)}" if feasible else "no level is feasible"
                mend = f", or train_images of at most {counts[level - 1] * level}" if level <= len(counts) else ""
                raise UserError(f"{where}: too few images for train_images {axis.train_images}; {largest}{mend}.")
        if axis.axis == "samples":
            if len(counts) < axis.combinations:
                raise UserError(
                    f"{where}: only {len(counts)} combinations can be used; lower the axis' combinations to that."
                )
            smallest = counts[axis.combinations - 1]
            if level > smallest:
                raise UserError(
                    f"{where}: combination {axis.combinations} has only {smallest} training images; "
                    f"the largest feasible level is {smallest}."
                )

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


def _cap_training(table: pd.DataFrame, images: int) -> pd.DataFrame:
    """Keep the first `images` training images of each combination in the seeded order, and every other side whole."""
    train = table[table["side"] == "train"].sort_values("draw")
    return pd.concat([train.groupby("combination").head(images), table[table["side"] != "train"]])


def experiments_table(images: CohortImages, experiments: list[Experiment], statistics: Statistics) -> pd.DataFrame:
    """Check every experiment of a cohort against its images, and count them.

    Returns
    -------
    pandas.DataFrame
        One row per experiment: ``experiment``, ``axis``, ``level``, ``resolution``, ``combinations``, images and
        patients per side, ``averaged`` and ``common`` (findings, separated by semicolons: those with enough
        test patients, and those of them that are common to all levels of the axis).

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
        for side in SIDES:
            chosen = selection[selection["side"] == side]
            row[f"{side}_images"] = len(chosen)
            row[f"{side}_patients"] = chosen["patient_id"].nunique()
        row["averaged"] = ";".join(images.averaged_findings(selection, statistics))
        rows.append(row)
    table = pd.DataFrame(rows)
    table["common"] = table.groupby("axis")["averaged"].transform(_common)
    return table


def _common(levels: pd.Series) -> str:
    sets = [set(text.split(";")) - {""} for text in levels]
    first = [finding for finding in levels.iloc[0].split(";") if finding]
    return ";".join(finding for finding in first if all(finding in other for other in sets))
