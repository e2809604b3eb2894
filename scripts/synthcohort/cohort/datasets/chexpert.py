"""CheXpert (Irvin et al. 2019): JPEG files and ``train.csv`` with labels 1, 0, -1 (uncertain) and blank.

Its labeller's 14 columns are also those of MIMIC-CXR.
"""

import numpy as np
import pandas as pd

from synthcohort.cohort.datasets.tables import FRONTAL_VIEWS, TidyTable, numbers, read_columns, require
from synthcohort.core.cohort_config import OwnData
from synthcohort.dicom.labels import Columns, snake_case

FINDINGS = [
    "No Finding",
    "Enlarged Cardiomediastinum",
    "Cardiomegaly",
    "Lung Opacity",
    "Lung Lesion",
    "Edema",
    "Consolidation",
    "Pneumonia",
    "Atelectasis",
    "Pneumothorax",
    "Pleural Effusion",
    "Pleural Other",
    "Fracture",
    "Support Devices",
]
UNCERTAIN = {"ones": 1.0, "zeros": 0.0, "unknown": np.nan}


def read(data: OwnData) -> TidyTable:
    """Read ``train.csv`` (or ``valid.csv``): one row per image, the patient in its path.

    Raises
    ------
    UserError
        When the table is missing or is not CheXpert's.
    """
    table = read_columns(data.labels, "labels", data.dataset, ["Path", "Frontal/Lateral", "AP/PA", *FINDINGS])
    # Paths begin with the name of the archive (CheXpert-v1.0-small), below which the folder of the config begins.
    path = table["Path"].str.replace(r"^/*CheXpert[^/]*/", "", regex=True)
    patient = path.str.extract(r"(?:^|/)(patient\d+)/", expand=False)
    require(patient.notna(), "no 'patientNNNNN' in 'Path'", data.dataset)
    # A few frontal images have LL or RL there: what is frontal, the other column decides.
    direction = table["AP/PA"].where(table["AP/PA"].isin(FRONTAL_VIEWS), table["Frontal/Lateral"])
    view = direction.where(table["Frontal/Lateral"] != "Lateral", "other")
    tidy = pd.DataFrame({"Path": path, "patient": patient, "view": view})
    labels = labeller_values(table, data.uncertain, data.dataset)
    return TidyTable(tidy.join(labels), "Path", Columns(patient="patient", view="view"), list(labels.columns))


def labeller_values(table: pd.DataFrame, uncertain: str, dataset: str) -> pd.DataFrame:
    """Decide what the labels of the CheXpert labeller count as.

    Parameters
    ----------
    table : pandas.DataFrame
        With the columns `FINDINGS`: 1 (present), 0 (absent), -1 (uncertain), blank (not mentioned in the report).
    uncertain : {'ones', 'zeros', 'unknown'}
        What -1 becomes. Blank becomes 0, as in DuMont Schütte et al. 2021.
    dataset : str
        Name of the dataset, for messages.

    Returns
    -------
    pandas.DataFrame
        One column of 0, 1 and NaN per finding, named in snake_case.
    """
    values = numbers(table, FINDINGS, (1, 0, -1), dataset)
    return values.fillna(0.0).replace(-1.0, UNCERTAIN[uncertain])[[snake_case(finding) for finding in FINDINGS]]
