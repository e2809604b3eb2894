"""How every figure looks and is saved: widths, colours, words, four files per figure."""

from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import Any, NamedTuple, ParamSpec, TypeVar

import matplotlib
import pandas as pd
from fontTools import subset
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from synthcohort.core.atomic import atomic_path, write_csv

P = ParamSpec("P")
R = TypeVar("R")

load_font = subset.load_font


def _load_without_layout(*args: Any, **options: Any) -> Any:
    """Load a font that is to be embedded in a PDF; text is laid out by then, and reading these tables takes long."""
    font = load_font(*args, **options)
    for table in ("GDEF", "GPOS", "GSUB"):
        if table in font:
            del font[table]
    return font


subset.load_font = _load_without_layout

MM = 1 / 25.4
ONE_COLUMN = 88 * MM
"""Width of a figure in one column, inches (88 mm)."""
TWO_COLUMNS = 180 * MM
"""Width of a figure over two columns, inches (180 mm)."""
SUFFIXES = (".pdf", ".svg", ".png", ".csv")
CHANCE = 0.5
"""AUROC of a classifier that knows nothing."""
GREY = "#767676"
STYLE_FILE = Path(__file__).with_name("synthcohort.mplstyle")
UNDATED: dict[str, dict[str, Any]] = {
    "pdf": {"metadata": {"Creator": None, "Producer": None, "CreationDate": None}},
    "svg": {"metadata": {"Date": None, "Creator": None}},
    "png": {"metadata": {"Software": None}, "pil_kwargs": {"compress_level": 3}},
}
"""How each format is written: without a date; PNG compressed quickly, a tenth larger for half the time."""


class Look(NamedTuple):
    """Colour, marker and line of one source: told apart without colour, too."""

    color: str
    marker: str
    line: str = "-"


LOOKS = {
    "real": Look("#000000", "o"),
    "r3-gan": Look("#0072B2", "s"),
    "cpd-gan": Look("#D55E00", "^"),
    "prog-gan": Look("#009E73", "D"),
    "dp-gan": Look("#CC79A7", "v"),
}
SPARE_LOOKS = [Look("#E69F00", "P"), Look("#56B4E9", "X")]
SPELLINGS = {"auroc": "AUROC", "kid": "KID", "fid": "FID", "frechet": "Fréchet"}
LINES = {"mix": "--", "pre": ":"}


def look(source: str) -> Look:
    """Colour, marker and line of a source; ``mix-`` and ``pre-`` keep their family's colour and change the line."""
    prefix, _, family = source.partition("-")
    if prefix in LINES:
        return look(family)._replace(line=LINES[prefix])
    return LOOKS.get(source) or SPARE_LOOKS[sum(source.encode()) % len(SPARE_LOOKS)]


def ordered_sources(sources: pd.Series) -> list[str]:
    """Real first, then the families as in `LOOKS`, then any other by name."""
    rank = {source: number for number, source in enumerate(LOOKS)}
    return sorted(set(sources), key=lambda source: (rank.get(source, len(rank)), source))


def display_name(name: str) -> str:
    """Write a name for people where none is given: ``pleural_effusion`` → ``Pleural effusion``, ``kid`` → ``KID``."""
    words = [SPELLINGS.get(word, word) for word in name.split("_")]
    text = " ".join(words)
    return text[:1].upper() + text[1:]


def title_panel(panel: Axes, cohort: str, simulated: bool) -> None:
    """Name the cohort above its panel, and say where its patients are simulated."""
    panel.set_title(cohort, pad=14 if simulated else 8)
    if simulated:
        panel.annotate("simulated patients", (0, 1), (0, 4), "axes fraction", "offset points", fontsize=6.5, color=GREY)


def styled(function: Callable[P, R]) -> Callable[P, R]:
    """Draw in the house style, whatever the caller's matplotlib settings are."""

    @wraps(function)
    def draw(*args: P.args, **kwargs: P.kwargs) -> R:
        with matplotlib.rc_context():
            matplotlib.rcdefaults()
            with matplotlib.rc_context(fname=STYLE_FILE):
                return function(*args, **kwargs)

    return draw


@styled
def save_figure(figure: Figure, table: pd.DataFrame, path_stem: str | Path) -> None:
    """Save a figure as PDF, SVG and PNG and what it shows as CSV; the same figure gives the same bytes.

    Parameters
    ----------
    figure : matplotlib.figure.Figure
        The finished figure.
    table : pandas.DataFrame
        Exactly what is drawn, one row per mark.
    path_stem : str or Path
        Path without suffix; each file is written atomically, the CSV last.
    """
    stem = Path(path_stem)
    if figure.get_layout_engine() is not None:
        figure.draw_without_rendering()
        figure.set_layout_engine(None)  # laid out once, not once per format
    for kind, options in UNDATED.items():
        with atomic_path(stem.with_name(f"{stem.name}.{kind}")) as temporary:
            figure.savefig(temporary, format=kind, **options)
    write_csv(stem.with_name(f"{stem.name}.csv"), table)
