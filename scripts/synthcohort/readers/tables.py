"""Answers as tables, without the truth."""

from typing import Any

import pandas as pd

from synthcohort.readers.answers import AnswerBook
from synthcohort.readers.select import READING
from synthcohort.readers.study import BLOCKS, ServedStudy

SIMULATED = "simulated"
"""Profession of a reader that is a program; the page does not offer it."""
FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r")


def answers_table(book: AnswerBook) -> pd.DataFrame:
    """Every version of every answer, without the truth.

    Returns
    -------
    pandas.DataFrame
        ``reader``, ``block``, ``position`` (from 1), ``revision`` (0 is the first answer), ``picture``, ``synthetic``
        (0 or 1: what the reader said), ``confidence`` (1 to 5), ``findings`` (JSON list; missing where not asked),
        ``comment``, ``seconds`` (the server's clock), ``seconds_client``, ``interrupted`` (0 or 1), ``answered_at``
        (UTC). In the order of readers, blocks and positions.
    """
    rows = book.query("SELECT * FROM answers ORDER BY reader, block DESC, position, revision")
    columns = [row["name"] for row in book.query("SELECT name FROM pragma_table_info('answers')")]
    return pd.DataFrame([tuple(row) for row in rows], columns=columns).drop(columns="submission")


def profiles_table(book: AnswerBook) -> pd.DataFrame:
    """List what readers said of themselves: ``reader``, ``profession``, ``years``, ``consented_at``, ``simulated``."""
    rows = [(*vars(profile).values(), profile.profession == SIMULATED) for profile in book.profiles().values()]
    return pd.DataFrame(rows, columns=["reader", "profession", "years", "consented_at", "simulated"])


def reader_progress(study: ServedStudy, book: AnswerBook) -> list[dict[str, Any]]:
    """Say how far each reader is.

    Returns
    -------
    list of dict
        ``reader``, ``profession`` and ``years`` (None before consent), ``training`` and ``reading`` (answered),
        ``of_training`` and ``of_reading``, ``seconds`` (median per image, NaN before the first), ``last`` (UTC of the
        last answer, or None).
    """
    answers, profiles = answers_table(book), book.profiles()
    first = answers[answers["revision"] == 0]
    found = []
    for reader in study.readers:
        own, profile = first[first["reader"] == reader.name], profiles.get(reader.name)
        counts: dict[str, int] = {block: int((own["block"] == block).sum()) for block in BLOCKS}
        found.append(
            {
                "reader": reader.name,
                "profession": profile.profession if profile else None,
                "years": profile.years if profile else None,
                **counts,
                **{f"of_{block}": len(reader.block(block)) for block in BLOCKS},
                "seconds": own.loc[own["block"] == READING, "seconds"].median(),
                "last": own["answered_at"].max() if len(own) else None,
            }
        )
    return found


def export_csv(table: pd.DataFrame) -> str:
    """Write a table as CSV in which no comment is taken for a formula by a spreadsheet (it gets a quote in front)."""
    texts = table.select_dtypes(include=["object", "string"]).columns
    guarded = table.copy()
    for column in texts:
        is_formula = guarded[column].map(lambda value: isinstance(value, str) and value.startswith(FORMULA_STARTS))
        guarded[column] = guarded[column].where(~is_formula.astype(bool), "'" + guarded[column].astype(str))
    return guarded.to_csv(index=False, lineterminator="\n")
