"""Pictures of the synthetic images that lie closest to a training image, beside both controls. Internal."""

from pathlib import Path

import numpy as np
import pandas as pd

from synthcohort.figures.captions import Words
from synthcohort.figures.gallery import BANNER_STYLE, banner
from synthcohort.figures.pictures import GAP, canvas, first_channel, place_image
from synthcohort.figures.style import GREY, MM, TWO_COLUMNS, save_figure, styled

LABEL_WIDTH = 24 * MM
BETWEEN = 3 * MM
"""Between two pairs."""
NUMBER_HEIGHT = 3.2 * MM
HEAD = 5 * MM
CONTROLS = {"positive_control": "Training images,\nreplayed", "negative_control": "Other patients,\nreplayed"}
COLUMNS = ["row", "shown", "pair", "distance", "ratio", "simulated"]


@styled
def draw_copies_figure(pairs: str | Path, stem: str | Path, source: str, simulated: bool) -> pd.DataFrame:
    """Draw the closest pairs of a family's samples and training images, and those of both controls.

    Parameters
    ----------
    pairs : str or Path
        What `synthcohort.audit.privacy.privacy_audit` gave, as npz; it is empty where there were too few images.
    stem : str or Path
        Path without suffix; it lies in an ``internal/`` folder.
    source : str
        The family.
    simulated : bool
        Whether the patients are simulated.

    Returns
    -------
    pandas.DataFrame
        What is drawn, as in the CSV: ``row``, ``shown`` (the family, or which control), ``pair``, ``distance``,
        ``ratio``, ``simulated``; no identifiers.
    """
    with np.load(pairs) as arrays:
        groups = {
            title: {key: arrays[f"{name}_{key}"] for key in ("synthetic", "training", "distances", "ratios")}
            for name, title in {source: f"{source}", **CONTROLS}.items()
            if f"{name}_synthetic" in arrays
        }
    most = max((len(group["ratios"]) for group in groups.values()), default=1)
    cell = (TWO_COLUMNS - LABEL_WIDTH - (most - 1) * BETWEEN) / (most * (2 + GAP))
    step = cell + NUMBER_HEIGHT + 1 * MM
    bottom = HEAD + max(1, len(groups)) * step
    figure, panel = canvas(TWO_COLUMNS, bottom + 4.5 * MM)
    heading = "Synthetic (left) and the training image closest to it" if groups else "Too few images to look for copies"
    panel.text(LABEL_WIDTH if groups else 0, 3 * MM, heading, fontsize=7, fontweight="bold", va="baseline")
    drawn = []
    for row, (title, group) in enumerate(groups.items()):
        y = HEAD + row * step
        panel.text(LABEL_WIDTH - 2 * MM, y + cell / 2, title, fontsize=6, ha="right", va="center")
        images = [first_channel(group[key]) for key in ("synthetic", "training")]
        for pair, (distance, ratio) in enumerate(zip(group["distances"], group["ratios"], strict=True)):
            x = LABEL_WIDTH + pair * (cell * (2 + GAP) + BETWEEN)
            for place, part in enumerate(images):
                place_image(panel, part[pair], x + place * cell * (1 + GAP), y, cell)
            middle = x + cell * (1 + GAP / 2)
            panel.text(middle, y + cell + 0.5 * MM, f"{ratio:.2f}", fontsize=6, ha="center", va="top", color=GREY)
            drawn.append((row, title.replace("\n", " "), pair + 1, distance, ratio, simulated))
    panel.text(0, bottom + 3 * MM, banner(simulated), **BANNER_STYLE)
    table = pd.DataFrame(drawn, columns=COLUMNS)
    save_figure(figure, table, stem)
    return table


def copies_words(cohort: str, experiment: str, source: str, simulated: bool) -> Words:
    """Describe the figure of `draw_copies_figure`: what it shows, and what it cannot."""
    caption = (
        f"Of up to 500 {source} images, chosen by chance, the six that lie closest to a training image, compared with "
        "that image’s distance to the next training image (the number below is the ratio; distances of pixels, the "
        "synthetic image moved by up to a pixel where that is closer): a copy has nearly 0. Below them the same for "
        "training images replayed with noise and moved by a pixel, which are copies, and for replayed images of "
        f"patients whom the generator never saw. {'All patients are simulated.' if simulated else 'Real patients.'}"
    )
    alt = (
        f"Rows of image pairs of {cohort}, each with a ratio of distances: {source} images and the closest training "
        "images, then replayed training images, then replayed images of other patients."
    )
    return Words(f"Closest pairs: {cohort}, {experiment}, {source}", caption, alt)
