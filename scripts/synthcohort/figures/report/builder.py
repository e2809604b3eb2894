"""Building report.html: figures inlined, no network, no scripts."""

import base64
import re
from pathlib import Path
from typing import NamedTuple

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from synthcohort.core.errors import UserError
from synthcohort.figures import captions
from synthcohort.figures.attribution import attribution_words
from synthcohort.figures.bars import averaged_findings
from synthcohort.figures.captions import Words
from synthcohort.figures.copies import copies_words
from synthcohort.figures.fidelity import fidelity_words
from synthcohort.figures.neighbours import neighbours_words
from synthcohort.figures.paper import paper_words
from synthcohort.figures.privacy import privacy_rows, privacy_words
from synthcohort.figures.readers import READER_FIGURES
from synthcohort.figures.report import fidelity, privacy, sections
from synthcohort.figures.report.answer import answers, best_sources, lead_sentence
from synthcohort.figures.report.generators import alarms, generator_tables
from synthcohort.figures.report.inputs import ReportInputs
from synthcohort.figures.report.readers import reader_section
from synthcohort.figures.style import TWO_COLUMNS

FOLDER = Path(__file__).parent
MEDIA_TYPES = {".svg": "image/svg+xml", ".png": "image/png"}


class Shown(NamedTuple):
    """One figure of the page."""

    words: Words
    uri: str
    width: float
    """Share of the widest figure's width, so that text is equally large in all."""
    files: str


def build_report(inputs: ReportInputs) -> str:
    """Build the page.

    Parameters
    ----------
    inputs : ReportInputs
        What it shows.

    Returns
    -------
    str
        HTML that needs nothing but itself.

    Raises
    ------
    UserError
        When a figure's file is missing.
    """
    environment = Environment(loader=FileSystemLoader(FOLDER), autoescape=True, undefined=StrictUndefined)
    environment.trim_blocks = environment.lstrip_blocks = True
    confidence = inputs.study.statistics.confidence
    found = answers(inputs.metrics, inputs.study.statistics, inputs.generators)
    simulated = [cohort.info.simulated for cohort in inputs.cohorts]
    raised = alarms(inputs.generators)
    notes = [
        privacy.PRIVACY_NOTE,
        privacy.controls_sentence(inputs.metrics),
        privacy.verifier_sentence(inputs.metrics),
        privacy.guarantee_sentence(inputs.generators),
    ]
    return environment.get_template("template.html").render(
        style=Markup((FOLDER / "style.css").read_text(encoding="utf-8")),
        study=inputs.study,
        confidence=f"{confidence:.0%}",
        internal=inputs.internal,
        all_simulated=all(simulated),
        any_simulated=any(simulated),
        lead=lead_sentence(found),
        alarm=raised[0] if raised else "",
        canaries=privacy.canary_warning(inputs.metrics),
        answers=found,
        margin=f"{inputs.study.statistics.non_inferiority_margin:g}",
        interval_sentence=captions.interval_sentence(inputs.metrics, confidence),
        results=sections.results_table(inputs.metrics),
        claims=sections.claims_table(inputs.metrics),
        main_figures=_axis_figures(inputs) + _finding_figures(inputs),
        paper_figures=[
            _show(stem, paper_words(inputs.metrics, axis, confidence, inputs.published), ".svg")
            for axis, stem in inputs.paper_figures.items()
        ],
        picture_figures=_picture_figures(inputs) if inputs.internal else [],
        unfolded=len(inputs.cohorts),
        fidelity_figures=[
            _show(stem, fidelity_words(inputs.metrics, axis, confidence), ".svg")
            for axis, stem in inputs.fidelity_figures.items()
        ],
        fidelity_tables=[
            (table, note)
            for table, note in (
                (fidelity.detection_table(inputs.metrics), fidelity.DETECTION_NOTE),
                (fidelity.neighbour_table(inputs.metrics), fidelity.NEIGHBOUR_NOTE),
            )
            if table
        ],
        readers=reader_section(inputs.metrics, confidence),
        reader_figures=[
            _show(stem, READER_FIGURES[name].words(inputs.metrics, confidence), ".svg")
            for name, stem in inputs.reader_figures.items()
        ],
        privacy_figures=_privacy_figures(inputs),
        privacy_table=privacy.privacy_table(inputs.metrics),
        every_attack=privacy.every_attack(inputs.metrics),
        copies_table=privacy.copies_table(inputs.metrics),
        copies_note=privacy.COPIES_NOTE,
        canary_table=privacy.canary_table(inputs.metrics),
        privacy_note=" ".join(filter(None, notes)),
        copies_figures=_copies_figures(inputs) if inputs.internal else [],
        attribution_figures=_attribution_figures(inputs) if inputs.internal else [],
        attribution_tables=fidelity.attribution_tables(inputs.metrics),
        attribution_note=fidelity.ATTRIBUTION_NOTE,
        neighbours_figures=_neighbours_figures(inputs) if inputs.internal else [],
        samples_figures=_samples_figures(inputs),
        training_figures=[
            _show(stem, captions.training_words(*subject), ".svg") for subject, stem in inputs.training_figures.items()
        ],
        generators=generator_tables(inputs.generators, inputs.study.stop_rule.patience > 0),
        generator_note=captions.GENERATOR_NOTE,
        cohorts=[
            (cohort.info, sections.cohort_table(cohort), sections.rejection_table(cohort)) for cohort in inputs.cohorts
        ],
        experiments=sections.experiments_table(inputs.cohorts),
        costs=sections.costs(inputs.benchmarks),
        versions=inputs.versions,
        machine=inputs.machine,
        digests=inputs.digests,
        config=sections.config_text(inputs.study),
        limits=sections.limits(inputs),
    )


def _axis_figures(inputs: ReportInputs) -> list[Shown]:
    confidence = inputs.study.statistics.confidence
    return [
        _show(stem, captions.axis_words(inputs.metrics, axis, confidence), ".svg")
        for axis, stem in inputs.axis_figures.items()
    ]


def _finding_figures(inputs: ReportInputs) -> list[Shown]:
    confidence = inputs.study.statistics.confidence
    tables = {cohort.info.cohort: cohort.experiments for cohort in inputs.cohorts}
    return [
        _show(
            stem,
            captions.finding_words(inputs.metrics, experiment, confidence, averaged_findings(tables, experiment)),
            ".svg",
        )
        for experiment, stem in inputs.finding_figures.items()
    ]


def _picture_figures(inputs: ReportInputs) -> list[Shown]:
    simulated = {cohort.info.cohort: cohort.info.simulated for cohort in inputs.cohorts}
    sheets = [
        _show(stem, captions.cohort_words(cohort, simulated[cohort]), ".png")
        for cohort, stem in inputs.cohort_figures.items()
    ]
    first = best_sources(inputs.metrics)
    galleries = [
        _show(stem, captions.gallery_words(cohort, experiment, source, simulated[cohort]), ".png")
        for (cohort, experiment, source), stem in sorted(
            inputs.gallery_figures.items(), key=lambda figure: figure[0] not in first
        )
    ]
    return galleries + sheets


def _attribution_figures(inputs: ReportInputs) -> list[Shown]:
    """Show where classifiers look, the best sources first."""
    simulated = {cohort.info.cohort: cohort.info.simulated for cohort in inputs.cohorts}
    first = best_sources(inputs.metrics)
    return [
        _show(stem, attribution_words(*key, simulated[key[0]], simulated[key[0]]), ".png")
        for key, stem in sorted(inputs.attribution_figures.items(), key=lambda figure: figure[0] not in first)
    ]


def _privacy_figures(inputs: ReportInputs) -> list[Shown]:
    """Show what is given away, first against the number of training images, on which copying hangs."""
    confidence = inputs.study.statistics.confidence
    ordered = sorted(
        inputs.privacy_figures.items(),
        key=lambda item: (privacy_rows(inputs.metrics, item[0]).empty, item[0] != "samples"),
    )
    return [_show(stem, privacy_words(inputs.metrics, axis, confidence), ".svg") for axis, stem in ordered]


def _copies_figures(inputs: ReportInputs) -> list[Shown]:
    simulated = {cohort.info.cohort: cohort.info.simulated for cohort in inputs.cohorts}
    return [_show(stem, copies_words(*key, simulated[key[0]]), ".png") for key, stem in inputs.copies_figures.items()]


def _neighbours_figures(inputs: ReportInputs) -> list[Shown]:
    simulated = {cohort.info.cohort: cohort.info.simulated for cohort in inputs.cohorts}
    return [
        _show(stem, neighbours_words(cohort, experiment, source, space, simulated[cohort]), ".png")
        for (space, cohort, experiment, source), stem in inputs.neighbours_figures.items()
    ]


def _samples_figures(inputs: ReportInputs) -> list[Shown]:
    """Show samples over training; a page to be shared does without those of generators that may copy patients."""
    simulated = {cohort.info.cohort: cohort.info.simulated for cohort in inputs.cohorts}
    shown = []
    for key, stem in inputs.samples_figures.items():
        runs = [run for run in inputs.generators if (run.cohort, run.experiment, run.family) == key]
        copies = any(run.ever_copied for run in runs)
        grows = any(len(run.card.get("stages", [])) > 1 for run in runs)
        if inputs.internal or not copies:
            shown.append(_show(stem, captions.samples_words(*key, simulated[key[0]], grows, copies), ".png"))
    return shown


def _show(stem: Path, words: Words, suffix: str) -> Shown:
    """Inline a figure; line drawings as SVG, pictures as PNG."""
    path = stem.with_name(stem.name + suffix)
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        raise UserError(f"the report needs the figure {path.name}, which is missing; draw the figures again.") from None
    uri = f"data:{MEDIA_TYPES[suffix]};base64,{base64.b64encode(content).decode()}"
    points = re.search(rb'<svg [^>]*width="([0-9.]+)pt"', content[:2000])
    width = float(points[1]) / 72 / TWO_COLUMNS if points else 1.0
    return Shown(words, uri, round(width, 3), f"{stem.parent.name}/{stem.name} as .pdf, .svg, .png and .csv")
