"""RSNA intracranial haemorrhage (Flanders et al. 2020): CT slices in DICOM and ``stage_2_train.csv``, in long form."""

import pandas as pd

from synthcohort.cohort.datasets.tables import TidyTable, numbers, read_columns, require
from synthcohort.cohort.labels import NO_FINDING
from synthcohort.core.cohort_config import OwnData
from synthcohort.core.errors import UserError
from synthcohort.dicom.labels import Columns

FINDINGS = ["any", "epidural", "intraparenchymal", "intraventricular", "subarachnoid", "subdural"]


def read(data: OwnData) -> TidyTable:
    """Turn one row per image and subtype (``ID_28fbab7eb_epidural,0``) into one row per image.

    Patients come from the DICOM headers. The distributed table repeats a few rows; equal ones count once.

    Raises
    ------
    UserError
        When the table is missing, is another one, or contradicts itself.
    """
    table = read_columns(data.labels, "labels", data.dataset, ["ID", "Label"])
    parts = table["ID"].str.extract(rf"^(ID_[^_]+)_({'|'.join(FINDINGS)})$")
    require(parts[0].notna(), "no 'ID_…_subtype' in 'ID'", data.dataset)
    label = numbers(table, ["Label"], (1, 0), data.dataset)["label"]
    table = table.assign(image=parts[0], finding=parts[1], Label=label)
    table = table.drop_duplicates(["ID", "Label"])
    if (again := table["ID"].duplicated()).any():
        raise UserError(f"the table of dataset {data.dataset} gives {again.sum()} IDs two different labels; mend it.")
    wide: pd.DataFrame = table.pivot(index="image", columns="finding", values="Label").reindex(columns=FINDINGS)
    wide[NO_FINDING] = 1 - wide["any"]  # the paper's sixth label
    return TidyTable(wide.reset_index().rename_axis(columns=None), "image", Columns(), [*FINDINGS, NO_FINDING])
