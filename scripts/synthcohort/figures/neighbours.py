"""Pictures of synthetic images beside the real images that are nearest to them. Internal."""

from pathlib import Path

import numpy as np
import pandas as pd

from synthcohort.audit.vocabulary import GROUPS
from synthcohort.figures.captions import Words
from synthcohort.figures.gallery import BANNER_STYLE, banner
from synthcohort.figures.pictures import GAP, canvas, first_channel, place_image, wrap
from synthcohort.figures.style import GREY, MM, TWO_COLUMNS, save_figure, styled

LABEL_WIDTH = 24 * MM
SPACE_BETWEEN = 4 * MM
NUMBER_HEIGHT = 2.8 * MM
HEAD = 10 * MM
COLUMNS = {"all_training": 1, "training": 4, "held_out": 4}
"""Groups from left to right, and how many of their images are shown at most."""
COMPARED = ("training", "held_out")
"""Groups of one size, whose distances can be compared."""
DISTANCES = {
    "judge": "Cosine distance of the judge's features",
    "pixels": "Euclidean distance of pixel values (0 to 255)",
}


@styled
def draw_neighbours_figure(
    neighbours: str | Path, stem: str | Path, space: str, simulated: bool, source: str = ""
) -> pd.DataFrame:
    """Draw synthetic images, a row each, beside their nearest training and held-out images with distances.

    Parameters
    ----------
    neighbours : str or Path
        What `synthcohort.audit.neighbours.neighbour_gallery` gave, as npz.
    stem : str or Path
        Path without suffix; it lies in an ``internal/`` folder.
    space : {"judge", "pixels"}
        What distances are measured in.
    simulated : bool
        Whether the patients are simulated.
    source : str
        The family, named above its images.

    Returns
    -------
    pandas.DataFrame
        What is drawn, as in the CSV: ``row``, ``combination``, ``space``, ``group``, ``rank``, ``distance``,
        ``simulated``; no identifiers.
    """
    with np.load(neighbours) as arrays:
        synthetic = first_channel(arrays["synthetic"])
        names = [str(name) for name in arrays["combinations"]]
        found = {group: arrays[f"{space}_{group}"][:, :most, 0] for group, most in COLUMNS.items()}
        searched = dict(zip(GROUPS, arrays["searched"].tolist(), strict=True))
        distances = {group: arrays[f"{space}_{group}_distances"] for group in COLUMNS}
    # The synthetic image and each group of columns are set apart by wider gaps.
    widths = [1, *(images.shape[1] for images in found.values())]
    gaps = sum(width - 1 for width in widths) * GAP
    cell = (TWO_COLUMNS - LABEL_WIDTH - (len(widths) - 1) * SPACE_BETWEEN) / (sum(widths) + gaps)
    lefts = LABEL_WIDTH + np.cumsum([0, *(cell * (w + GAP * (w - 1)) + SPACE_BETWEEN for w in widths[:-1])])
    side = cell * synthetic.shape[1] / synthetic.shape[2]
    step = side + NUMBER_HEIGHT + 0.8 * MM
    bottom = HEAD + len(synthetic) * step
    figure, panel = canvas(TWO_COLUMNS, bottom + 6.5 * MM)
    heads = dict(zip(["synthetic", *found], lefts, strict=True))
    for group, (title, note) in _titles(source, searched).items():
        panel.text(heads[group], 3.2 * MM, title, fontsize=7, fontweight="bold", va="baseline")
        panel.text(heads[group], 4.3 * MM, note, fontsize=6, color=GREY, va="top", linespacing=1.1)
    drawn = []
    for row, (image, name) in enumerate(zip(synthetic, names, strict=True)):
        y = HEAD + row * step
        label = wrap(name.replace(" + ", " +\n"), LABEL_WIDTH - 2 * MM)
        panel.text(LABEL_WIDTH - 2 * MM, y + side / 2, label, fontsize=6, ha="right", va="center")
        place_image(panel, image, lefts[0], y, cell)
        nearest = distance_text(min(distances[group][row, 0] for group in COMPARED))
        for group, images in found.items():
            for rank, (other, distance) in enumerate(zip(images[row], distances[group][row], strict=False)):
                x = heads[group] + rank * cell * (1 + GAP)
                place_image(panel, other, x, y, cell)
                text = distance_text(distance)
                weight = "bold" if group in COMPARED and text == nearest else "normal"
                panel.text(x + cell / 2, y + side + 0.5 * MM, text, fontsize=6, ha="center", va="top", weight=weight)
                drawn.append((row, name, space, group, rank + 1, distance, simulated))
    numbers = f"{DISTANCES[space]}; bold: the smallest in the two groups of equal size."
    panel.text(0, bottom + 1.6 * MM, numbers, fontsize=6, color=GREY, va="baseline")
    panel.text(0, bottom + 5.1 * MM, banner(simulated), **BANNER_STYLE)
    table = pd.DataFrame(drawn, columns=["row", "combination", "space", "group", "rank", "distance", "simulated"])
    save_figure(figure, table, stem)
    return table


def neighbours_words(cohort: str, experiment: str, source: str, space: str, simulated: bool) -> Words:
    """Describe the figure of `draw_neighbours_figure`: what it shows, and what it cannot."""
    distance = DISTANCES[space][0].lower() + DISTANCES[space][1:]
    whose = "All patients are simulated." if simulated else "Real patients."
    caption = (
        f"Each row: a {source} image, drawn by chance from one of the most frequent label combinations, and its "
        f"nearest real images by {distance}. First the nearest of all training images, among which a copy would be "
        "found. Then training images and held-out ones (validation and test, which the generator did not learn "
        "from): the larger group is thinned to the other's size, by whole patients, as the nearest of many is "
        "nearer than that of few; bold is the smallest distance of the two. Copies would show as training images "
        "that are far nearer than any held-out one. A few images can show that there are copies, not that there are "
        "none: see the nearest ratio over all images. Look-alikes share slice, shape and findings; they need not "
        f"share a patient. {whose}"
    )
    alt = (
        f"Rows of images of {cohort}: a {source} image, its nearest training images and its nearest held-out images, "
        "each with its distance."
    )
    place = "in the judge's features" if space == "judge" else "in pixels"
    return Words(f"Nearest real images {place}: {cohort}, {experiment}, {source}", caption, alt)


def distance_text(distance: float) -> str:
    """Write a distance with two digits, a larger one in whole numbers: ``0.0050``, ``283``; a copy has ``0``."""
    return f"{distance:.0f}" if distance >= 10 or distance == 0 else f"{distance:#.2g}"


def _titles(source: str, searched: dict[str, int]) -> dict[str, tuple[str, str]]:
    """Title and note above each group."""
    counts = {group: f"{count:,} images".replace(",", "\N{NO-BREAK SPACE}") for group, count in searched.items()}
    return {
        "synthetic": ("Synthetic", source),
        "all_training": ("All training", f"nearest of\n{counts['all_training']}"),
        "training": ("Training", f"nearest of {counts['training']}"),
        "held_out": ("Held out: not learnt from", f"nearest of {counts['held_out']}"),
    }
