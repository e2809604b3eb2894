"""Tables of texts, and how numbers are written in them."""

from dataclasses import dataclass

from synthcohort.figures.numbers import spaced


@dataclass(frozen=True)
class Table:
    """A table of texts; every column but the first `words` is aligned as numbers."""

    caption: str
    columns: list[str]
    rows: list[list[str]]
    words: int = 1


def whole(number: float) -> str:
    """Write a count with narrow spaces between thousands."""
    return spaced(f"{int(number):,}")


def duration(seconds: float) -> str:
    """Write a duration: ``4.2 s``, ``3 min 05 s``, ``2 h 10 min``."""
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest:02d} s" if minutes < 60 else f"{minutes // 60} h {minutes % 60:02d} min"
