"""What a generator draws as its training goes on, and what lies between its images. Synthetic images only."""

import textwrap
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from numpy.typing import NDArray

from synthcohort.figures.numbers import kimg_text
from synthcohort.figures.pictures import CHARACTER, GAP, Images, canvas, first_channel, place_image
from synthcohort.figures.style import GREY, MM, TWO_COLUMNS, display_name, save_figure, styled

ROWS = 9
"""About how many states are shown; of each stage of a growth at least the last."""
LABEL_WIDTH = 16 * MM
GROUP_GAP = 2.6 * MM
"""More room between two combinations."""
CELL = (TWO_COLUMNS - LABEL_WIDTH - 5 * GROUP_GAP) / (12 * (1 + GAP))
"""Side of an image, inches: six combinations of two images each fill the width; fewer are not drawn larger."""
STEP = CELL * (1 + GAP)
STAGE_GAP = 2.2 * MM
HEADING = 5.2 * MM
LINE = 2.6 * MM
"""Height of a line of 6 pt text."""
NAME_LINES = 3


def drawn_sides(grids: NDArray[np.uint8]) -> list[int]:
    """Find the resolution at which each state drew its images, before they were enlarged to the last state's.

    Parameters
    ----------
    grids : numpy.ndarray
        uint8 ``[T, K, columns, C, H, W]``; an enlarged image is made of equal square blocks.

    Returns
    -------
    list of int
        Sides in pixels. Images that are all of one grey count as not enlarged.
    """
    sides = []
    for grid in grids:
        side = full = grid.shape[-1]
        while side % 2 == 0:
            blocks = grid[..., :: 2 * full // side, :: 2 * full // side]
            if not np.array_equal(blocks.repeat(2 * full // side, -1).repeat(2 * full // side, -2), grid):
                break
            side //= 2
        sides.append(full if (grid == grid[..., :1, :1]).all() else side)
    return sides


def chosen_states(sides: list[int], rows: int = ROWS) -> list[int]:
    """Choose which states to show: of each stage the last, and others evenly before it, about `rows` in all."""
    stages = [[i for i, other in enumerate(sides) if other == side] for side in dict.fromkeys(sides)]
    each = max(1, rows // len(stages))
    chosen: list[int] = []
    for stage in stages:
        count = min(each, len(stage))
        chosen += [stage[round(len(stage) * (number + 1) / count) - 1] for number in range(count)]
    return chosen


class Strip(NamedTuple):
    """A row of images, in groups of one combination each."""

    part: str
    groups: dict[str, Images]
    side: int
    kimg: float = np.nan
    heading: str = ""
    starts_stage: bool = False

    @property
    def space(self) -> float:
        """Room above it, inches."""
        return HEADING if self.heading else STAGE_GAP if self.starts_stage else 0.0

    def lines(self) -> list[dict[str, Any]]:
        """Give the lines of the CSV, one for each image."""
        return [
            {"part": self.part, "place": place, "combination": name, "kimg": self.kimg, "resolution": self.side}
            for name, images in self.groups.items()
            for place in range(len(images))
        ]


def training_strips(arrays: Mapping[str, NDArray[Any]]) -> list[Strip]:
    """Make a strip for each state to show."""
    names = [_display(str(name)) for name in arrays["combinations"]]
    sides = drawn_sides(arrays["grids"])
    states = chosen_states(sides)
    return [
        Strip(
            "training",
            {name: first_channel(images) for name, images in zip(names, arrays["grids"][state], strict=True)},
            sides[state],
            float(arrays["kimg"][state]),
            starts_stage=position > 0 and sides[state] != sides[states[position - 1]],
        )
        for position, state in enumerate(states)
    ]


def walk_strips(arrays: Mapping[str, NDArray[Any]]) -> list[Strip]:
    """Make a strip for each walk; a cohort of one combination has none through labels."""
    names = [_display(str(name)) for name in arrays["combinations"]]
    side = arrays["grids"].shape[-1]
    noise, labels = (first_channel(arrays[name]) for name in ("noise_walk", "label_walk"))
    heading = f"From one noise to another in the kept generator, label: {names[0]}"
    strips = [Strip("noise walk", {names[0]: noise}, side, heading=heading)]
    if len(names) > 1:
        ends = f"{names[0]} to {names[1]}"
        heading = f"From one label to another in the kept generator, same noise: {ends}"
        strips.append(Strip("label walk", {ends: labels}, side, heading=heading))
    return strips


@styled
def draw_samples_figure(samples: str | Path, stem: str | Path, title: str, simulated: bool) -> pd.DataFrame:
    """Draw samples from the same noise over a training, and two walks through the kept generator.

    Parameters
    ----------
    samples : str or Path
        samples.npz of a generator: ``kimg`` ``[T]``, ``grids`` uint8 ``[T, K, columns, C, H, W]``, ``combinations``
        ``[K]`` (findings joined by ``+``), ``noise_walk`` and ``label_walk`` uint8 ``[steps, C, H, W]``.
    stem : str or Path
        Path without suffix.
    title : str
        Which generator.
    simulated : bool
        Whether the patients it learnt from are simulated.

    Returns
    -------
    pandas.DataFrame
        What is drawn, as in the CSV: a row per image.
    """
    with np.load(samples) as given:
        arrays = dict(given)
    strips = [*training_strips(arrays), *walk_strips(arrays)]
    group_width = arrays["grids"].shape[2] * STEP + GROUP_GAP
    names = [_shorten(name, group_width - GROUP_GAP) for name in strips[0].groups]
    head = 6.5 * MM + LINE * max(name.count("\n") + 1 for name in names)
    figure, panel = canvas(TWO_COLUMNS, head + sum(strip.space + STEP for strip in strips) + 5 * MM)
    panel.text(0, 3.4 * MM, title, fontsize=7.5, fontweight="bold")
    panel.text(LABEL_WIDTH - 2 * MM, head - 1.2 * MM, "kimg", fontsize=6, ha="right", color=GREY)
    for number, name in enumerate(names):
        panel.text(LABEL_WIDTH + number * group_width, head - 0.9 * MM, name, fontsize=6, va="bottom")
    y = head
    for strip in strips:
        y += strip.space
        _draw_strip(panel, strip, y, group_width)
        y += STEP
    whose = "simulated" if simulated else "real"
    note = f"All images are synthetic; the generator learnt from {whose} patients."
    panel.text(LABEL_WIDTH, y + 3 * MM, note, fontsize=6, color=GREY)
    table = pd.DataFrame([line for strip in strips for line in strip.lines()]).assign(simulated=simulated)
    save_figure(figure, table, stem)
    return table


def _draw_strip(panel: Axes, strip: Strip, y: float, group_width: float) -> None:
    """Place a strip's images with their upper edge at `y`, and what is said beside or above them."""
    for number, images in enumerate(strip.groups.values()):
        for place, image in enumerate(images):
            place_image(panel, image, LABEL_WIDTH + number * group_width + place * STEP, y, CELL)
    if strip.starts_stage:
        line = y - (STAGE_GAP + GAP * CELL) / 2
        panel.plot([0, TWO_COLUMNS], [line, line], color=GREY, linewidth=0.5)
    if strip.heading:
        panel.text(LABEL_WIDTH, y - 1.2 * MM, strip.heading, fontsize=6)
        return
    panel.text(0, y + CELL / 2, f"{strip.side}²", fontsize=6.5, fontweight="bold", va="center")
    panel.text(LABEL_WIDTH - 2 * MM, y + CELL / 2, kimg_text(strip.kimg), fontsize=6, ha="right", va="center")


def _display(combination: str) -> str:
    """Name a combination for people: ``edema+pleural_effusion`` → ``Edema + pleural effusion``."""
    first, *others = combination.split("+")
    return " + ".join(
        [display_name(first), *[display_name(name)[:1].lower() + display_name(name)[1:] for name in others]]
    )


def _shorten(name: str, width: float) -> str:
    """Break a name into lines of 6 pt text, and cut what needs more than `NAME_LINES`."""
    lines = textwrap.wrap(name, int(width / CHARACTER), max_lines=NAME_LINES, placeholder=" …")
    return "\n".join(lines)
