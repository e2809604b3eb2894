"""Pictures of where two classifiers look in the cohort's own images. Internal."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.colors import Normalize
from matplotlib.image import AxesImage
from numpy.typing import NDArray

from synthcohort.figures.captions import Words
from synthcohort.figures.gallery import BANNER_STYLE, banner
from synthcohort.figures.pictures import GAP, canvas, first_channel, place_image, wrap
from synthcohort.figures.style import GREY, MM, TWO_COLUMNS, display_name, save_figure, styled
from synthcohort.measures.attribution import COVERED, rank_correlations

LABEL_WIDTH = 24 * MM
SPACE_BETWEEN = 3 * MM
NUMBER_HEIGHT = 2.8 * MM
HEAD = 10 * MM
FOOT = 12 * MM
COLOURS = "PuOr_r"
"""Purple (against) over white (0) to orange (for): told apart by the colour-blind, too (ColorBrewer)."""
OUTLINE_ON_IMAGE = ((0.6, "#56B4E9"),)
OUTLINE_ON_MAP = ((1.2, "#FFFFFF"), (0.5, "#000000"))
"""Widths (points) and colours of lines above each other; the white rim keeps black visible on dark colours."""
TITLES = {"occlusion": "Occlusion", "integrated_gradients": "Integrated Gradients", "grad_cam": "Grad-CAM"}
SCALE_QUANTILE = 0.995
"""Share of a pair's pixels whose magnitude the colours tell apart; a few beyond it would pale all others."""


@styled
def draw_attribution_figure(attribution: str | Path, stem: str | Path, source: str, simulated: bool) -> pd.DataFrame:
    """Draw images, a row each, beside the maps of the real-trained and of one source's classifier, method by method.

    Parameters
    ----------
    attribution : str or Path
        What `synthcohort.audit.attribution_metrics.attribution_gallery` gave, as npz.
    stem : str or Path
        Path without suffix; it lies in an ``internal/`` folder.
    source : str
        What the second classifier of each pair was trained on.
    simulated : bool
        Whether the patients are simulated.

    Returns
    -------
    pandas.DataFrame
        What is drawn, as in the CSV: ``row``, ``finding``, ``method``, ``source`` (real or `source`), ``scale`` (the
        magnitude that has the full colour, shared by a pair), ``agreement`` (of the pair), ``simulated``; no
        identifiers.
    """
    with np.load(attribution) as arrays:
        images = first_channel(arrays["images"])
        findings = [str(name) for name in arrays["findings"]]
        sources = ["real", source]
        maps = arrays["maps"][[list(arrays["sources"]).index(name) for name in sources]]
        methods = [str(name) for name in arrays["methods"]]
        outlines = [mask_outline(mask) for mask in arrays["masks"]] if "masks" in arrays else None
    agreement = np.stack([rank_correlations(*maps[:, place]) for place in range(len(methods))])
    # The image and each method's pair of columns are set apart by wider gaps.
    cell = (TWO_COLUMNS - LABEL_WIDTH - len(methods) * SPACE_BETWEEN) / (1 + len(methods) * (2 + GAP))
    lefts = LABEL_WIDTH + cell + SPACE_BETWEEN + np.arange(len(methods)) * (cell * (2 + GAP) + SPACE_BETWEEN)
    height = cell * images.shape[1] / images.shape[2]
    step = height + NUMBER_HEIGHT + 0.8 * MM
    bottom = HEAD + len(images) * step
    figure, panel = canvas(TWO_COLUMNS, bottom + FOOT)
    _write_heads(panel, methods, lefts, cell, source, outlines is not None)
    drawn = []
    for row, (image, finding) in enumerate(zip(images, findings, strict=True)):
        y = HEAD + row * step
        label = wrap(finding, LABEL_WIDTH - 2 * MM)
        panel.text(LABEL_WIDTH - 2 * MM, y + height / 2, label, fontsize=6, ha="right", va="center")
        place_image(panel, image, LABEL_WIDTH, y, cell)
        if outlines:
            place_outline(panel, outlines[row], LABEL_WIDTH, y, cell / image.shape[1], OUTLINE_ON_IMAGE)
        for place, (method, left) in enumerate(zip(methods, lefts, strict=True)):
            pair = maps[:, place, row]
            scale = colour_scale(pair)
            for side, (name, values) in enumerate(zip(sources, pair, strict=True)):
                x = left + side * cell * (1 + GAP)
                place_map(panel, values, x, y, cell, scale)
                if outlines:
                    place_outline(panel, outlines[row], x, y, cell / image.shape[1], OUTLINE_ON_MAP)
                drawn.append((row, finding, method, name, scale, agreement[place, row], simulated))
            words = agreement_text(agreement[place, row])
            middle = left + cell * (2 + GAP) / 2
            panel.text(middle, y + height + 0.5 * MM, words, fontsize=6, ha="center", va="top")
    _write_foot(panel, bottom, simulated)
    columns = ["row", "finding", "method", "source", "scale", "agreement", "simulated"]
    table = pd.DataFrame(drawn, columns=columns)
    save_figure(figure, table, stem)
    return table


def attribution_words(cohort: str, experiment: str, source: str, simulated: bool, masks: bool) -> Words:
    """Describe the figure of `draw_attribution_figure`: what its colours mean, and what it cannot show."""
    own = "the cohort's own test images (simulated patients)" if simulated else "real patients' test images"
    sentences = [
        f"Rows: {own}, chosen by chance among those that have the finding named on the left; internal.",
        f"Pairs: the classifier trained on real images and the one trained on {source} images, asked for that finding.",
        "Orange: the place speaks for the finding; purple: against it; white: it does not count.",
        "The maps of a pair share a scale, other pairs have their own; pale maps: the answer changes less.",
        "Occlusion: how much the loss grows when a patch is blanked (black).",
        "Integrated Gradients: what each pixel adds to the logit on the way from a black image.",
        "Grad-CAM: coarse feature maps, weighted by their mean gradient and enlarged.",
        "ρ: rank correlation of the pair over all pixels; a dash where a map is the same everywhere.",
    ]
    if masks:
        sentences.append(
            "Outlined: pixels that the lesion covers by more than half, as it was drawn; there may be none."
        )
    sentences.append(
        "Maps show what a classifier reacts to, not why, and part of them would look alike without any training: the "
        "metrics attribution_agreement and attribution_overlap stand beside controls that say how much."
    )
    alt = (
        f"Rows of test images of {cohort}, each beside pairs of attribution maps of the classifiers trained on real "
        f"and on {source} images, by occlusion, Integrated Gradients and Grad-CAM."
    )
    return Words(f"Where the classifiers look: {cohort}, {experiment}, {source}", " ".join(sentences), alt)


def mask_outline(mask: NDArray[np.uint8]) -> NDArray[np.float64]:
    """Edges between pixels of a lesion and others, float64 ``[edges, 2, 2]``: two ends of (x, y) each, in pixels."""
    inside = np.pad(mask > COVERED, 1)
    y, x = np.nonzero(inside[1:, 1:-1] != inside[:-1, 1:-1])  # edges along a row, above pixel (y, x)
    along_rows = np.stack([np.stack([x, y], 1), np.stack([x + 1, y], 1)], 1)
    y, x = np.nonzero(inside[1:-1, 1:] != inside[1:-1, :-1])
    along_columns = np.stack([np.stack([x, y], 1), np.stack([x, y + 1], 1)], 1)
    return np.concatenate([along_rows, along_columns]).astype(np.float64)


def colour_scale(pair: NDArray[np.float32]) -> float:
    """Give the magnitude that has the full colour in both maps of a pair; 1 where both are 0 everywhere."""
    return float(np.quantile(np.abs(pair), SCALE_QUANTILE, method="higher")) or float(np.abs(pair).max()) or 1.0


def agreement_text(agreement: float) -> str:
    """Write a rank correlation with two digits and a true minus; a dash where it is undefined."""
    return "ρ –" if np.isnan(agreement) else f"ρ {agreement:.2f}".replace("-", "\N{MINUS SIGN}")


def _write_heads(
    panel: Axes, methods: list[str], lefts: NDArray[np.floating], cell: float, source: str, outlined: bool
) -> None:
    title: dict[str, Any] = {"fontsize": 7, "fontweight": "bold", "va": "baseline"}
    note: dict[str, Any] = {"fontsize": 6, "color": GREY, "va": "bottom", "linespacing": 1.1}
    panel.text(LABEL_WIDTH, 3.2 * MM, "Image", **title)
    panel.text(LABEL_WIDTH, HEAD - 1.2 * MM, "lesion outlined" if outlined else "", **note)
    for method, left in zip(methods, lefts, strict=True):
        panel.text(left, 3.2 * MM, TITLES.get(method, display_name(method)), **title)
        for side, name in enumerate(("real", source)):
            panel.text(left + side * cell * (1 + GAP), HEAD - 1.2 * MM, f"trained on\n{name}", **note)


def _write_foot(panel: Axes, bottom: float, simulated: bool) -> None:
    """Draw the bar of colours with its words, and the banner."""
    y, width, height = bottom + 2.2 * MM, 30 * MM, 2 * MM
    place_map(panel, np.linspace(-1, 1, 256)[None], LABEL_WIDTH, y, width, 1.0, height)
    words: dict[str, Any] = {"fontsize": 6, "color": GREY, "va": "center"}
    panel.text(LABEL_WIDTH - 1.2 * MM, y + height / 2, "against", ha="right", **words)
    text = "for the finding (one scale per pair).   ρ: rank correlation of the pair."
    panel.text(LABEL_WIDTH + width + 1.2 * MM, y + height / 2, text, **words)
    panel.text(0, bottom + FOOT - 1.4 * MM, banner(simulated), **BANNER_STYLE)


def place_map(
    panel: Axes, values: NDArray[np.floating], x: float, y: float, width: float, scale: float, height: float = 0.0
) -> None:
    """Show a map with its upper left corner at (x, y), `width` inches wide; full colour from `scale` on."""
    bottom = y + (height or width * values.shape[0] / values.shape[1])
    picture = AxesImage(
        panel, cmap=COLOURS, norm=Normalize(-scale, scale), interpolation="nearest", extent=(x, x + width, bottom, y)
    )
    picture.set_data(values)
    panel.add_image(picture)


def place_outline(
    panel: Axes, edges: NDArray[np.float64], x: float, y: float, pixel: float, lines: tuple[tuple[float, str], ...]
) -> None:
    """Draw what `mask_outline` gives over an image at (x, y) whose pixels are `pixel` inches wide."""
    for width, colour in lines:
        drawn = LineCollection(list(edges * pixel + (x, y)), colors=colour, linewidths=width, capstyle="projecting")
        panel.add_collection(drawn, autolim=False)
