"""Pictures of images: real beside synthetic, and sheets of a cohort. All of them internal."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from synthcohort.figures.pictures import GAP, Images, canvas, first_channel, place_image, wrap
from synthcohort.figures.style import MM, TWO_COLUMNS, save_figure, styled

LABEL_WIDTH = 30 * MM
BANNER_STYLE: dict[str, Any] = {"fontsize": 6, "fontweight": "bold", "color": "#A63603"}
BANNER_REAL = "INTERNAL: shows real patients' pixels"
BANNER_SIMULATED = "INTERNAL: shows the cohort's own pixels (simulated patients)"


def banner(simulated: bool) -> str:
    """Give the line that every picture of a cohort's own images carries."""
    return BANNER_SIMULATED if simulated else BANNER_REAL


@styled
def contact_sheet(
    images: Images,
    titles: Sequence[str],
    columns: int = 8,
    width: float = TWO_COLUMNS,
    heading: str = "",
    note: str = "",
) -> Figure:
    """Lay images out in a grid, each under its title.

    Parameters
    ----------
    images : numpy.ndarray
        uint8 ``[N, H, W]`` or ``[N, C, H, W]``; of several channels the first is shown.
    titles : sequence of str
        One per image; several lines are allowed; ``""`` for none.
    columns : int
        Images in a row.
    width : float
        Width of the figure in inches.
    heading, note : str
        A line above (bold) and a line below (for example `banner`).

    Returns
    -------
    matplotlib.figure.Figure
        Ready for `Figure.savefig` or `save_figure`.
    """
    images = first_channel(images)
    columns = min(columns, len(images))
    cell = width / (columns + GAP * (columns - 1))
    titles = [wrap(title, cell) for title in titles]
    starts = range(0, len(images), columns)
    spaces = [max(_height(title) for title in titles[start : start + columns]) for start in starts]
    side = cell * images.shape[1] / images.shape[2]
    tops = np.cumsum([6 * MM if heading else 1 * MM, *[space + side + GAP * cell for space in spaces]])
    bottom = tops[-1] - GAP * cell
    figure, panel = canvas(width, bottom + (4.5 * MM if note else 0.0))
    if heading:
        panel.text(0, 4 * MM, heading, fontsize=8, fontweight="bold", va="baseline")
    for number, (image, title) in enumerate(zip(images, titles, strict=True)):
        row, column = divmod(number, columns)
        x, y = column * cell * (1 + GAP), tops[row] + spaces[row]
        panel.text(x + cell / 2, y - 0.8 * MM, title, fontsize=6, ha="center", va="bottom")
        place_image(panel, image, x, y, cell)
    if note:
        panel.text(0, bottom + 3.6 * MM, note, va="baseline", **BANNER_STYLE)
    return figure


def draw_cohort_figure(sheet: str | Path, stem: str | Path, simulated: bool, columns: int = 8) -> pd.DataFrame:
    """Draw a cohort's sheet: images with one finding alone, beside normal ones.

    Parameters
    ----------
    sheet : str or Path
        What `synthcohort.audit.gallery.make_cohort_sheet` gave, as npz: ``images`` uint8 ``[N, C, H, W]`` and
        ``titles`` ``[N]``.
    stem : str or Path
        Path without suffix; it lies in an ``internal/`` folder.
    simulated : bool
        Whether the patients are simulated.
    columns : int
        Images in a row.

    Returns
    -------
    pandas.DataFrame
        What is drawn, as in the CSV: no identifiers.
    """
    with np.load(sheet) as arrays:
        images, titles = arrays["images"], [str(title) for title in arrays["titles"]]
    figure = contact_sheet(images, titles, columns, note=banner(simulated))
    table = pd.DataFrame({"place": np.arange(len(titles)), "title": titles, "simulated": simulated})
    save_figure(figure, table, stem)
    return table


@styled
def draw_gallery_figure(gallery: str | Path, stem: str | Path, simulated: bool, source: str = "") -> pd.DataFrame:
    """Draw real beside synthetic images with the same labels, a row per label combination.

    Parameters
    ----------
    gallery : str or Path
        What `synthcohort.audit.gallery.make_gallery` gave, as npz: ``real`` and ``synthetic`` uint8 ``[K, C, H, W]``,
        entry i of both with the labels of ``combinations[i]`` (text); entries of a combination follow each other.
    stem : str or Path
        Path without suffix; it lies in an ``internal/`` folder.
    simulated : bool
        Whether the patients are simulated.
    source : str
        The family, named above its images.

    Returns
    -------
    pandas.DataFrame
        What is drawn, as in the CSV: no identifiers.
    """
    with np.load(gallery) as arrays:
        real, synthetic = first_channel(arrays["real"]), first_channel(arrays["synthetic"])
        names = [str(name) for name in arrays["combinations"]]
    groups = {name: [i for i, other in enumerate(names) if other == name] for name in dict.fromkeys(names)}
    half = max(map(len, groups.values()))
    cell = (TWO_COLUMNS - LABEL_WIDTH) / (2 * half * (1 + GAP) + GAP)
    step = cell * (1 + GAP)
    middle = LABEL_WIDTH + half * step + GAP * cell
    head = 6 * MM
    figure, panel = canvas(TWO_COLUMNS, head + len(groups) * step + 4 * MM)
    own = "Real (simulated patients)" if simulated else "Real patients"
    panel.text(LABEL_WIDTH, 4 * MM, own, fontsize=7.5, fontweight="bold")
    panel.text(middle, 4 * MM, f"Synthetic: {source}" if source else "Synthetic", fontsize=7.5, fontweight="bold")
    drawn = []
    for row, (name, places) in enumerate(groups.items()):
        y = head + row * step
        label = wrap(name.replace(" + ", " +\n"), LABEL_WIDTH - 2 * MM)
        panel.text(LABEL_WIDTH - 2 * MM, y + cell / 2, label, fontsize=6, ha="right", va="center")
        for column, i in enumerate(places):
            place_image(panel, real[i], LABEL_WIDTH + column * step, y, cell)
            place_image(panel, synthetic[i], middle + column * step, y, cell)
            drawn += [(row, column, side, name, simulated) for side in ("real", "synthetic")]
    panel.text(0, head + len(groups) * step + 2.6 * MM, banner(simulated), **BANNER_STYLE)
    table = pd.DataFrame(drawn, columns=["row", "column", "side", "combination", "simulated"])
    save_figure(figure, table, stem)
    return table


def _height(title: str) -> float:
    """Give the room that a title needs above its image, inches."""
    return 3.1 * MM * (title.count("\n") + 1) if title else 0.0
