"""Any DICOM, PNG or JPEG files with a table that has one row per file: read as it is."""

from synthcohort.cohort.datasets.tables import TidyTable
from synthcohort.core.cohort_config import OwnData
from synthcohort.dicom.labels import Columns


def read(data: OwnData) -> TidyTable:
    """Say which column of the user's table is what; every column of 0, 1 and blanks is a finding."""
    return TidyTable(data.labels, data.key, Columns(patient=data.patient or "", view=data.view or ""), [])
