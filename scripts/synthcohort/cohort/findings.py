"""Lists of findings as experiments.csv holds them."""

import pandas as pd


def finding_list(cell: str | float) -> list[str]:
    """Read findings as experiments.csv writes them: names joined by ``;``, a blank cell (NaN once read) for none."""
    return [] if pd.isna(cell) else [finding for finding in str(cell).split(";") if finding]
