"""NIH ChestX-ray14 (Wang et al. 2017): PNG files and ``Data_Entry_2017.csv`` (or its version of 2020)."""

import numpy as np
import pandas as pd

from synthcohort.cohort.datasets.tables import TidyTable, read_columns, require
from synthcohort.core.cohort_config import OwnData
from synthcohort.dicom.labels import Columns

FINDINGS = {
    "Atelectasis": "atelectasis",
    "Cardiomegaly": "cardiomegaly",
    "Effusion": "pleural_effusion",
    "Infiltration": "infiltration",
    "Mass": "mass",
    "Nodule": "nodule",
    "Pneumonia": "pneumonia",
    "Pneumothorax": "pneumothorax",
    "Consolidation": "consolidation",
    "Edema": "edema",
    "Emphysema": "emphysema",
    "Fibrosis": "fibrosis",
    "Pleural_Thickening": "pleural_thickening",
    "Hernia": "hernia",
    "No Finding": "no_finding",
}


def read(data: OwnData) -> TidyTable:
    """Read the table: one row per image, its findings in one cell with ``|`` between them.

    Raises
    ------
    UserError
        When the table is missing, is another one, or names a finding that the dataset does not have.
    """
    columns = ["Image Index", "Finding Labels", "Patient ID", "View Position"]
    table = read_columns(data.labels, "labels", data.dataset, columns)
    named = table["Finding Labels"].str.replace(r"\s*\|\s*", "|", regex=True)
    known = "|".join(FINDINGS)
    require(
        named.str.fullmatch(rf"(?:{known})(?:\|(?:{known}))*"), "an unknown finding in 'Finding Labels'", data.dataset
    )
    cells = "|" + named + "|"
    findings = {
        name: cells.str.contains(f"|{word}|", regex=False).to_numpy(np.float64) for word, name in FINDINGS.items()
    }
    tidy = pd.DataFrame({name: table[name] for name in ("Image Index", "Patient ID", "View Position")} | findings)
    return TidyTable(tidy, "Image Index", Columns(patient="Patient ID", view="View Position"), list(findings))
