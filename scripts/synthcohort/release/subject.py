"""What a bundle is of: the synthetic cohort, where it comes from, and what was measured of it."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from synthcohort.core.cohort_config import Ingest
from synthcohort.core.config import Statistics
from synthcohort.core.errors import UserError
from synthcohort.core.release_config import Release
from synthcohort.core.store import ImageStore, StoreInfo

SIDES = ("train", "valid", "test")


@dataclass(frozen=True, eq=False)
class SourceCohort:
    """The cohort of patients behind a synthetic one: sizes and policies, nothing of any patient.

    Attributes
    ----------
    ingest : Ingest
        Which modalities and views were taken.
    label_policy : mapping of str to str
        From `released.label_policy`: how labels were treated.
    info : StoreInfo
        Of its store at the released resolution.
    sizes : mapping of str to tuple of int
        Images and patients of each side of the experiment.
    combination_patients : int
        Training patients of the label combination that has the fewest.
    """

    ingest: Ingest
    label_policy: Mapping[str, str]
    info: StoreInfo
    sizes: Mapping[str, tuple[int, int]]
    combination_patients: int

    @classmethod
    def read(
        cls, ingest: Ingest, label_policy: Mapping[str, str], store: str | Path, selection: str | Path
    ) -> "SourceCohort":
        """Read the sizes from the paths of a real ``store.json`` and of the experiment's ``selection.parquet``."""
        table = pd.read_parquet(selection, columns=["patient_id", "side", "combination"])
        training = table[table["side"] == "train"]
        fewest = int(training.groupby("combination")["patient_id"].nunique().min())
        sides = {side: table.loc[table["side"] == side, "patient_id"] for side in SIDES}
        sizes = {side: (len(patients), patients.nunique()) for side, patients in sides.items()}
        return cls(ingest, label_policy, StoreInfo.read(store), sizes, fewest)


@dataclass(frozen=True, eq=False)
class Subject:
    """Everything that a bundle is made of.

    Attributes
    ----------
    release : Release
        What leaves, and on which terms.
    source : SourceCohort
        Where it comes from.
    parts : mapping of str to ImageStore
        Synthetic stores by the name of their part: ``train``, ``valid``.
    generator : mapping
        generator.json.
    metrics : pandas.DataFrame
        metrics.parquet.
    statistics : Statistics
        How the intervals in it were computed.
    copied_labels : bool
        Whether synthetic images have the labels of patients, one for one.
    shadows : int
        Shadow generators that the study asks for.

    Raises
    ------
    UserError
        When a store holds anything but images that a generator drew, or the stores do not belong together.
    """

    release: Release
    source: SourceCohort
    parts: Mapping[str, ImageStore]
    generator: Mapping[str, Any]
    metrics: pd.DataFrame
    statistics: Statistics
    copied_labels: bool
    shadows: int

    def __post_init__(self) -> None:
        for part, store in self.parts.items():
            if store.info.policy.get("generated_by") != self.release.source:
                raise UserError(
                    f"release: the store of part '{part}' does not hold images drawn by {self.release.source}, so it "
                    "does not leave; correct release.source, or sample again."
                )
            alike = (store.info.cohort, store.info.finding_names) == (self.release.cohort, self.info.finding_names)
            if not alike or store.info.resolution != self.info.resolution:
                raise UserError(f"release: the store of part '{part}' is of another cohort; sample again.")

    @property
    def info(self) -> StoreInfo:
        """Facts that all parts share."""
        return next(iter(self.parts.values())).info

    @property
    def images(self) -> int:
        """How many images leave."""
        return sum(len(store) for store in self.parts.values())
