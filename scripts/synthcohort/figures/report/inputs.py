"""What the report is made of."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import pandas as pd

from synthcohort.core.config import Study
from synthcohort.core.store import StoreInfo, read_records
from synthcohort.figures.report.facts import machine_facts, software_versions
from synthcohort.figures.report.generators import GeneratorRun


@dataclass(frozen=True)
class CohortInputs:
    """One cohort.

    Attributes
    ----------
    info : StoreInfo
        store.json of any of its stores: name, findings, whether its patients are simulated.
    index : pandas.DataFrame
        index.parquet: one row per file with ``status`` and ``reason``; nothing else of it is read.
    records : pandas.DataFrame
        records.parquet of that store: ``patient_id`` and finding columns.
    split : pandas.DataFrame
        ``patient_id``, ``side``.
    experiments : pandas.DataFrame
        experiments.csv.
    """

    info: StoreInfo
    index: pd.DataFrame
    records: pd.DataFrame
    split: pd.DataFrame
    experiments: pd.DataFrame

    @classmethod
    def read(cls, folder: str | Path, size: str) -> "CohortInputs":
        """Read ``results/{study}/cohorts/{cohort}``; `size` names one of its stores, for example ``"032"``."""
        folder = Path(folder)
        store = folder / "store" / size
        info, records = read_records(store)
        return cls(
            info=info,
            index=pd.read_parquet(folder / "index.parquet", columns=["status", "reason"]),
            records=records[["patient_id", *info.finding_names]],
            split=pd.read_parquet(folder / "split.parquet"),
            experiments=pd.read_csv(folder / "experiments.csv"),
        )


@dataclass(frozen=True)
class ReportInputs:
    """Everything that the report shows. Figures are given by their stems (path without suffix).

    Attributes
    ----------
    study : Study
        The resolved config.
    metrics : pandas.DataFrame
        metrics.parquet.
    cohorts : list of CohortInputs
    axis_figures : mapping
        Axis → stem.
    finding_figures : mapping
        Experiment → stem.
    paper_figures : mapping
        Axis → stem.
    published : mapping
        Cohort → whose published values are laid over its paper figures.
    fidelity_figures : mapping
        Axis → stem.
    privacy_figures : mapping
        Axis → stem.
    reader_figures : mapping
        ``accuracy`` and ``roc`` → stem.
    copies_figures : mapping
        (cohort, experiment, family) → stem: closest pairs. Internal.
    neighbours_figures : mapping
        (space, cohort, experiment, family) → stem. Internal.
    attribution_figures : mapping
        (cohort, experiment, source) → stem. Internal.
    training_figures : mapping
        (cohort, axis) → stem.
    samples_figures : mapping
        (cohort, experiment, family) → stem: samples over training.
    gallery_figures : mapping
        (cohort, experiment, source) → stem. Internal.
    cohort_figures : mapping
        Cohort → stem. Internal.
    generators : list of GeneratorRun
        Every trained generator.
    benchmarks : pandas.DataFrame
        What `read_benchmarks` gives; may be empty.
    digests : mapping
        Name → digest, for example of each store's data version.
    internal : bool
        False leaves out everything that shows the cohorts' own images: the page that may be shared.
    machine, versions : mapping
        Taken from this machine where not given.
    """

    study: Study
    metrics: pd.DataFrame
    cohorts: list[CohortInputs]
    axis_figures: Mapping[str, Path]
    finding_figures: Mapping[str, Path] = field(default_factory=dict)
    paper_figures: Mapping[str, Path] = field(default_factory=dict)
    published: Mapping[str, str] = field(default_factory=dict)
    fidelity_figures: Mapping[str, Path] = field(default_factory=dict)
    privacy_figures: Mapping[str, Path] = field(default_factory=dict)
    reader_figures: Mapping[str, Path] = field(default_factory=dict)
    copies_figures: Mapping[tuple[str, str, str], Path] = field(default_factory=dict)
    neighbours_figures: Mapping[tuple[str, str, str, str], Path] = field(default_factory=dict)
    attribution_figures: Mapping[tuple[str, str, str], Path] = field(default_factory=dict)
    training_figures: Mapping[tuple[str, str], Path] = field(default_factory=dict)
    samples_figures: Mapping[tuple[str, str, str], Path] = field(default_factory=dict)
    gallery_figures: Mapping[tuple[str, str, str], Path] = field(default_factory=dict)
    cohort_figures: Mapping[str, Path] = field(default_factory=dict)
    generators: list[GeneratorRun] = field(default_factory=list)
    benchmarks: pd.DataFrame = field(default_factory=pd.DataFrame)
    digests: Mapping[str, str] = field(default_factory=dict)
    internal: bool = True
    machine: Mapping[str, str] = field(default_factory=machine_facts)
    versions: Mapping[str, str] = field(default_factory=software_versions)
