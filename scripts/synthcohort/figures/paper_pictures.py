"""Nearest neighbours and attribution maps in the way of the paper: one figure for all cohorts. Internal."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from numpy.typing import NDArray

from synthcohort.audit.vocabulary import GROUPS as SEARCHED
from synthcohort.figures.attribution import (
    OUTLINE_ON_IMAGE,
    OUTLINE_ON_MAP,
    agreement_text,
    colour_scale,
    mask_outline,
    place_map,
    place_outline,
)
from synthcohort.figures.gallery import BANNER_STYLE, banner
from synthcohort.figures.neighbours import distance_text
from synthcohort.figures.numbers import spaced
from synthcohort.figures.pictures import GAP, canvas, first_channel, place_image, wrap
from synthcohort.figures.style import GREY, MM, ONE_COLUMN, TWO_COLUMNS, save_figure, styled
from synthcohort.measures.attribution import rank_correlations

OCCLUSION = "occlusion"
"""The method that the paper used."""
SPACE_BETWEEN = 3 * MM
NUMBER_HEIGHT = 2.8 * MM
HEAD = 10 * MM
LINE = 2.6 * MM
"""Height of a line of 6 pt text."""
NEIGHBOURS = {"one_column": 2, "two_columns": 4}
"""Real images shown of each group, by the figure's width."""
TRIPLETS = {"one_column": 2, "two_columns": 3}
"""Test images side by side, each with two maps."""
ROWS = {"one_column": 2, "two_columns": 3}
SEARCHED_WORDS = (
    "Nearest real images, of as many as named above them. The training images and the held-out ones beside them are "
    "thinned to one number, so that they can be compared. Below: cosine distance of the judge's features."
)
MAPS_WORDS = (
    "Occlusion. Orange: for the finding; purple: against it (one scale per pair). ρ: rank correlation of the pair."
)
OUTLINE_WORDS = " Outlined: the lesion."
GROUPS = {"all_training": "All training", "training": "Training", "held_out": "Held out"}
"""Real images searched, from left to right. The last two are of one size, so that their distances can be compared; a
copy that thinning left out of ``training`` is found in the first."""


class Run(NamedTuple):
    """One cohort's pictures."""

    arrays: str | Path
    """The npz that the audit wrote."""
    simulated: bool
    source: str
    """The family."""


@styled
def draw_paper_neighbours(runs: Mapping[str, Run], stem: str | Path, width: str) -> pd.DataFrame:
    """Draw, for each cohort, synthetic images beside the real ones nearest to them in the judge's features.

    Parameters
    ----------
    runs : mapping
        Cohort → its run; `synthcohort.audit.neighbours.neighbour_gallery` gave the arrays. The first images are
        shown, in the order in which they were drawn by chance.
    stem : str or Path
        Path without suffix; it lies in an ``internal/`` folder.
    width : str
        ``"one_column"`` (88 mm) or ``"two_columns"`` (180 mm).

    Returns
    -------
    pandas.DataFrame
        What is drawn, as in the CSV: ``cohort``, ``source``, ``row``, ``group``, ``searched`` (images in the
        group), ``rank``, ``distance`` (cosine), ``simulated``; no identifiers.
    """
    shown = NEIGHBOURS[width]
    total, blocks = _width(width), [1, 1, shown, shown]
    cell, lefts = _columns(total, blocks)
    step = cell + NUMBER_HEIGHT + 0.8 * MM
    head = HEAD + LINE
    height = head + ROWS[width] * step
    note = wrap(SEARCHED_WORDS, total)
    figure, panel = canvas(total, len(runs) * height + _foot_height(note))
    drawn = []
    for block, (cohort, run) in enumerate(runs.items()):
        top = block * height
        _title(panel, top, cohort, run)
        with np.load(run.arrays) as arrays:
            synthetic = first_channel(arrays["synthetic"])[: ROWS[width]]
            most = dict(zip(GROUPS, blocks[1:], strict=True))
            found = {group: arrays[f"judge_{group}"][:, : most[group], 0] for group in GROUPS}
            searched = dict(zip(SEARCHED, arrays["searched"].tolist(), strict=True))
            distances = {group: arrays[f"judge_{group}_distances"] for group in GROUPS}
        counts = [spaced(f"of {searched[group]:,}") for group in GROUPS]
        for left, *lines in zip(lefts, ["Synthetic", *GROUPS.values()], [run.source, *counts], strict=True):
            for line, text in enumerate(lines):
                panel.text(left, top + HEAD + line * LINE - 0.8 * MM, text, fontsize=6, va="baseline")
        for row, image in enumerate(synthetic):
            y = top + head + row * step
            place_image(panel, image, lefts[0], y, cell)
            for left, (group, images) in zip(lefts[1:], found.items(), strict=True):
                for rank, (other, distance) in enumerate(zip(images[row], distances[group][row], strict=False)):
                    x = left + rank * cell * (1 + GAP)
                    place_image(panel, other, x, y, cell)
                    _number(panel, x + cell / 2, y + cell, distance_text(distance))
                    facts = (row, group, searched[group], rank + 1, float(distance))
                    drawn.append((cohort, run.source, *facts, run.simulated))
    _foot(panel, len(runs) * height, runs, note)
    columns = ["cohort", "source", "row", "group", "searched", "rank", "distance", "simulated"]
    table = pd.DataFrame(drawn, columns=columns)
    save_figure(figure, table, stem)
    return table


@styled
def draw_paper_attribution(runs: Mapping[str, Run], stem: str | Path, width: str) -> pd.DataFrame:
    """Draw, for each cohort, test images beside the occlusion maps of the real- and the synthetic-trained classifier.

    Parameters
    ----------
    runs : mapping
        Cohort → its run; `synthcohort.audit.attribution_metrics.attribution_gallery` gave the arrays. The first
        images are shown, in the order in which they were drawn by chance.
    stem, width
        As in `draw_paper_neighbours`.

    Returns
    -------
    pandas.DataFrame
        What is drawn, as in the CSV: ``cohort``, ``source``, ``image``, ``finding``, ``agreement`` (rank correlation
        of the two maps), ``simulated``; no identifiers.
    """
    across, rows = TRIPLETS[width], 2
    total = _width(width)
    cell, lefts = _columns(total, [3] * across)
    step = cell + NUMBER_HEIGHT + 4 * MM
    height = HEAD + rows * step
    note = wrap(MAPS_WORDS + OUTLINE_WORDS * any(_has_masks(run) for run in runs.values()), total)
    figure, panel = canvas(total, len(runs) * height + _foot_height(note))
    drawn = []
    for block, (cohort, run) in enumerate(runs.items()):
        top = block * height
        _title(panel, top, cohort, run, f"left map: trained on real images, right: on {run.source} ones")
        with np.load(run.arrays) as arrays:
            chosen = slice(0, across * rows)
            images = first_channel(arrays["images"])[chosen]
            findings = [str(name) for name in arrays["findings"][chosen]]
            method = list(arrays["methods"]).index(OCCLUSION)
            pair = [list(arrays["sources"]).index(name) for name in ("real", run.source)]
            maps = arrays["maps"][pair, method, chosen]
            masks = list(arrays["masks"][chosen]) if "masks" in arrays else [None] * len(images)
        agreement = rank_correlations(*maps)
        for number, (image, finding, mask) in enumerate(zip(images, findings, masks, strict=True)):
            x, y = lefts[number % across], top + HEAD + number // across * step
            _triplet(panel, image, maps[:, number], mask, (x, y, cell))
            panel.text(x, y - 0.6 * MM, finding.split(" + ")[0], fontsize=6, va="bottom")
            _number(panel, x + cell * (1.5 + GAP) + cell * 0.5, y + cell, agreement_text(agreement[number]))
            drawn.append((cohort, run.source, number, finding, float(agreement[number]), run.simulated))
    _foot(panel, len(runs) * height, runs, note)
    table = pd.DataFrame(drawn, columns=["cohort", "source", "image", "finding", "agreement", "simulated"])
    save_figure(figure, table, stem)
    return table


def _width(width: str) -> float:
    return {"one_column": ONE_COLUMN, "two_columns": TWO_COLUMNS}[width]


def _columns(total: float, blocks: list[int]) -> tuple[float, NDArray[np.float64]]:
    """Give the width of a cell and the left edge of each block of cells; blocks are set apart by wider gaps."""
    gaps = sum(count - 1 for count in blocks) * GAP
    cell = (total - (len(blocks) - 1) * SPACE_BETWEEN) / (sum(blocks) + gaps)
    widths = [cell * (count + GAP * (count - 1)) + SPACE_BETWEEN for count in blocks]
    return cell, np.cumsum([0.0, *widths[:-1]])


def _triplet(
    panel: Axes,
    image: NDArray[np.uint8],
    pair: NDArray[np.float32],
    mask: NDArray[np.uint8] | None,
    where: tuple[float, float, float],
) -> None:
    x, y, cell = where
    pixel = cell / image.shape[-1]
    place_image(panel, image, x, y, cell)
    edges = None if mask is None else mask_outline(mask)
    if edges is not None:
        place_outline(panel, edges, x, y, pixel, OUTLINE_ON_IMAGE)
    scale = colour_scale(pair)
    for number, values in enumerate(pair, 1):
        place_map(panel, values, x + number * cell * (1 + GAP), y, cell, scale)
        if edges is not None:
            place_outline(panel, edges, x + number * cell * (1 + GAP), y, pixel, OUTLINE_ON_MAP)


def _has_masks(run: Run) -> bool:
    with np.load(run.arrays) as arrays:
        return "masks" in arrays


def _title(panel: Axes, y: float, cohort: str, run: Run, note: str = "") -> None:
    panel.text(0, y + 3.2 * MM, cohort, fontsize=7, fontweight="bold", va="baseline")
    text = "; ".join(filter(None, ["simulated patients" if run.simulated else "", note]))
    panel.text(0, y + 6 * MM, text, fontsize=6, color=GREY, va="baseline")


def _number(panel: Axes, x: float, y: float, text: str) -> None:
    panel.text(x, y + 0.5 * MM, text, fontsize=6, ha="center", va="top")


def _foot_height(note: str) -> float:
    return (note.count("\n") + 1) * LINE + 5 * MM


def _foot(panel: Axes, y: float, runs: Mapping[str, Run], note: str) -> None:
    style: dict[str, Any] = {"fontsize": 6, "color": GREY, "va": "top"}
    panel.text(0, y + 0.4 * MM, note, **style)
    panel.text(
        0, y + _foot_height(note) - 1.2 * MM, banner(all(run.simulated for run in runs.values())), **BANNER_STYLE
    )
