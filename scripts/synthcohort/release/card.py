"""The dataset card: what a bundle is, what it is good for, and what it gives away."""

from pathlib import Path

import yaml
from jinja2 import Environment, FileSystemLoader, StrictUndefined

from synthcohort import __version__
from synthcohort.audit.privacy_vocabulary import CAUGHT, CHANCE_MARGIN, guarantee_text
from synthcohort.release import card_tables
from synthcohort.release.gate import CONFIDENCE, RESAMPLES, loosened
from synthcohort.release.objects import choose_modality
from synthcohort.release.subject import Subject

FOLDER = Path(__file__).parent


def write_card(subject: Subject, failures: list[str]) -> str:
    """Write the dataset card.

    Parameters
    ----------
    subject : Subject
        What leaves.
    failures : list of str
        What the gate found, where the config overrides it.

    Returns
    -------
    str
        Markdown.
    """
    environment = Environment(loader=FileSystemLoader(FOLDER), undefined=StrictUndefined, keep_trailing_newline=True)
    environment.trim_blocks = environment.lstrip_blocks = True
    release, info, source = subject.release, subject.info, subject.source
    return environment.get_template("card.md").render(
        release.model_dump(include={"license", "creator", "url", "published", "version", "weights", "experiment"}),
        title=title(subject),
        images=subject.images,
        simulated=source.info.simulated,
        failures=failures,
        reason=" ".join(release.override.split()),
        modality=choose_modality(source.ingest),
        windows=[f"{low:g} to {high:g}" for low, high in info.windows],
        resolution=info.resolution,
        findings_table=card_tables.findings_table(subject),
        own_data=own_data(subject),
        cohort=release.cohort,
        total_images=sum(images for images, _ in source.sizes.values()),
        total_patients=sum(patients for _, patients in source.sizes.values()),
        source_table=card_tables.source_table(subject),
        policy_table=card_tables.policy_table(subject),
        family=release.source,
        training_images=subject.generator["training_images"],
        kimg=f"{subject.generator['kimg']:g}",
        copied=_share(subject.generator.get("copied")),
        replicate=release.replicate,
        guarantee=guarantee_text(subject.generator["privacy"]) if "privacy" in subject.generator else "",
        utility_table=card_tables.utility_table(subject),
        fidelity_table=card_tables.fidelity_table(subject),
        privacy_table=card_tables.privacy_table(subject),
        verification=card_tables.verification_text(subject),
        described_table=card_tables.described_table(subject),
        gate=release.gate,
        loosened=loosened(release.gate),
        caught=CAUGHT,
        margin=CHANCE_MARGIN,
        statistics=subject.statistics,
        needed_confidence=CONFIDENCE,
        needed_resamples=RESAMPLES,
        software=__version__,
    )


def title(subject: Subject) -> str:
    """Name a bundle for people."""
    release = subject.release
    return f"Synthetic cohort: {release.cohort}, {release.experiment}, {release.source}"


def own_data(subject: Subject) -> str:
    """Write the part of a config that reads the bundle's DICOM files, from the folder of the bundle."""
    modality = choose_modality(subject.source.ingest)
    ingest: dict[str, object] = {"modalities": [modality]}
    if modality == "CT" and subject.info.windows:
        low, high = subject.info.windows[0]
        ingest["windows"] = [{"center": (low + high) / 2, "width": high - low}]
    cohort = {
        "name": "synthetic",
        "data": {"folder": "data/dicom", "labels": "data/labels.csv", "key": "sop_instance_uid"},
        "findings": subject.info.finding_names,
        "ingest": ingest,
    }
    return yaml.safe_dump({"cohorts": [cohort]}, sort_keys=False, width=100)


def _share(copied: float | None) -> str | None:
    return None if copied is None else f"{copied:.1%}"
