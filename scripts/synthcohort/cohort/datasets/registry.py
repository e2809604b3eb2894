"""From a cohort's config to its tidy label table."""

import importlib

from synthcohort.cohort.datasets.tables import TidyTable
from synthcohort.core.cohort_config import OwnData
from synthcohort.core.datasets import DATASETS


def read_dataset(data: OwnData) -> TidyTable:
    """Read the tables of a cohort with the adapter that its config names.

    Raises
    ------
    UserError
        When a table is missing or is not that dataset's.
    """
    table: TidyTable = importlib.import_module(DATASETS[data.dataset].module).read(data)
    return table
