"""Answers brought together with the answer key."""

from contextlib import closing
from pathlib import Path

import pandas as pd

from synthcohort.core.errors import UserError
from synthcohort.readers.answers import ANSWERS, HOME, AnswerBook, count_answers
from synthcohort.readers.key import AnswerKey
from synthcohort.readers.select import READING, SYNTHETIC
from synthcohort.readers.study import PRIVATE, STUDY, ServedStudy
from synthcohort.readers.tables import answers_table, profiles_table


def read_results(study_id: str, home: Path = HOME, private: Path = PRIVATE) -> pd.DataFrame:
    """Bring the answers of the reading block together with the truth.

    Parameters
    ----------
    study_id : str
        Of the reader study.
    home, private : Path
        Folders of all reader studies and of their answer keys.

    Returns
    -------
    pandas.DataFrame
        One row per reader and position, the last version of each answer: the columns of `answers_table`, and
        ``exposure`` (1 for the first showing of a picture to this reader, 2 for the second), ``profession``, ``years``,
        ``simulated``, ``truth`` (real or synthetic), ``correct`` (bool), ``score`` (−5 certainly real … 5 certainly
        synthetic, without 0: for ROC), ``cohort``, ``experiment``, ``family``, ``resolution``, ``cell``,
        ``combination``, ``image_id`` and ``group`` (images of one patient share it). Without rows where nobody
        has answered.

    Raises
    ------
    UserError
        When study or key is missing, or they do not belong together, or the answers are to another build.
    """
    folder = home / study_id
    study = ServedStudy.read(folder)
    if not (folder / ANSWERS).is_file():
        raise UserError(f"reader study {study_id} was not served yet: run `synthcohort serve {study_id}`.")
    key = AnswerKey(private, study_id, study.digest).open()
    with closing(AnswerBook(folder / ANSWERS)) as book:
        book.belong_to(study.digest)
        answers, profiles = answers_table(book), profiles_table(book)
    answers = answers[answers["block"] == READING].drop_duplicates(["reader", "position"], keep="last")
    shown = answers.groupby(["reader", "picture"])["position"].rank(method="first")
    answers = answers.assign(exposure=shown.astype(int))
    own = key.loc[key["block"] == READING].drop(columns=["block", "row", "repeated"])
    table = answers.merge(profiles, on="reader", how="left").merge(own, on="picture", how="left", validate="m:1")
    said = table["synthetic"].astype(bool)
    return table.assign(
        correct=said == (table["truth"] == SYNTHETIC),
        score=table["confidence"].where(said, -table["confidence"]),
    )


def answered_studies(study: str, home: Path = HOME) -> dict[str, int]:
    """Count the answers of all reader studies of a study, those without any left out; by id."""
    built = [ServedStudy.read_if_whole(path.parent) for path in sorted(home.glob(f"*/{STUDY}"))]
    counts = {one.study_id: count_answers(home / one.study_id) for one in built if one and one.study == study}
    return {study_id: count for study_id, count in counts.items() if count}


def people_or_simulated(
    study_id: str, simulated: pd.DataFrame | None, home: Path = HOME, private: Path = PRIVATE
) -> pd.DataFrame:
    """Give what people answered, as `read_results` does; where nobody has, `simulated`, or a table without rows."""
    if count_answers(home / study_id):
        results = read_results(study_id, home, private)
        people = results[~results["simulated"].astype(bool)]
        if len(people):
            return people.reset_index(drop=True)
    return pd.DataFrame() if simulated is None else simulated
