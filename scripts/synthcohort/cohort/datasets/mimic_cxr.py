"""MIMIC-CXR (Johnson et al. 2019): DICOM files (or MIMIC-CXR-JPG's JPEG files), labels per study, views per image."""

from synthcohort.cohort.datasets.chexpert import FINDINGS, labeller_values
from synthcohort.cohort.datasets.tables import FRONTAL_VIEWS, TidyTable, read_columns
from synthcohort.core.cohort_config import OwnData
from synthcohort.core.errors import UserError
from synthcohort.dicom.labels import Columns

STUDY = ["subject_id", "study_id"]


def read(data: OwnData) -> TidyTable:
    """Give each image of ``mimic-cxr-2.0.0-metadata.csv`` the labels of its study in ``mimic-cxr-2.0.0-chexpert.csv``.

    Images of studies without labels are left out, and so end as files without a label.

    Raises
    ------
    UserError
        When a table is missing or is another one, or when none of the studies is in both.
    """
    studies = read_columns(data.labels, "labels", data.dataset, [*STUDY, *FINDINGS])
    images = read_columns(data.metadata, "metadata", data.dataset, ["dicom_id", *STUDY, "ViewPosition"])
    labels = labeller_values(studies, data.uncertain, data.dataset)
    if (again := studies.duplicated(STUDY)).any():
        raise UserError(f"the table of dataset {data.dataset} in 'data.labels' holds {again.sum()} studies twice.")
    tidy = images.merge(studies[STUDY].join(labels), on=STUDY)
    if tidy.empty:
        raise UserError(f"the two tables of dataset {data.dataset} have no study in common; correct 'data.metadata'.")
    # Its other words (AP AXIAL, XTABLE LATERAL, SWIMMERS, …) all mean views that are not plainly frontal.
    tidy["ViewPosition"] = tidy["ViewPosition"].where(
        tidy["ViewPosition"].isin(FRONTAL_VIEWS) | tidy["ViewPosition"].isna(), "other"
    )
    columns = Columns(patient="subject_id", view="ViewPosition")
    return TidyTable(tidy.drop(columns="study_id"), "dicom_id", columns, list(labels.columns))
