"""VinDr-CXR (Nguyen et al. 2022): DICOM files and ``image_labels_train.csv``, one row per image and reader."""

import pandas as pd

from synthcohort.cohort.datasets.tables import TidyTable, numbers, read_columns, require
from synthcohort.core.cohort_config import OwnData
from synthcohort.dicom.labels import Columns

FINDINGS = [
    "Aortic enlargement",
    "Atelectasis",
    "Calcification",
    "Cardiomegaly",
    "Clavicle fracture",
    "Consolidation",
    "Edema",
    "Emphysema",
    "Enlarged PA",
    "ILD",
    "Infiltration",
    "Lung Opacity",
    "Lung cavity",
    "Lung cyst",
    "Mediastinal shift",
    "Nodule/Mass",
    "Pleural effusion",
    "Pleural thickening",
    "Pneumothorax",
    "Pulmonary fibrosis",
    "Rib fracture",
    "Other lesion",
    "COPD",
    "Lung tumor",
    "Pneumonia",
    "Tuberculosis",
    "No finding",
]
OTHER = ["Other diseases", "Other disease"]
"""Both spellings of one more column are in use."""


def read(data: OwnData) -> TidyTable:
    """Take each image's labels from the majority of its readers; a tie is unknown.

    Where no majority agrees on anything, not even on "no finding", what single readers saw is unknown, too: such an
    image is not normal. The test images' table has a row per image and no readers, and is taken as it is.

    The files' headers were stripped of modality, UIDs and patient, and no table tells the patients: each image counts
    as a patient of its own. All are radiographs in PA view.

    Raises
    ------
    UserError
        When the table is missing or is another one.
    """
    table = read_columns(data.labels, "labels", data.dataset, ["image_id", *FINDINGS], OTHER)
    require(table["image_id"].notna(), "no image_id", data.dataset)
    columns = [column for column in (*FINDINGS[:-1], *OTHER, FINDINGS[-1]) if column in table]
    seen = numbers(table, columns, (1, 0), data.dataset)
    require(seen.notna().all(axis=1), "a blank label", data.dataset)
    labels = majority(seen, table["image_id"])
    tidy = labels.reset_index().assign(view="PA", modality="DX")
    told = Columns(patient="image_id", view="view", modality="modality", uid="image_id")
    return TidyTable(tidy, "image_id", told, list(labels.columns))


def majority(seen: pd.DataFrame, images: "pd.Series[str]") -> pd.DataFrame:
    """Join the readers of each image.

    Parameters
    ----------
    seen : pandas.DataFrame
        One row per image and reader, one column of 0 and 1 per finding, among them ``no_finding``.
    images : pandas.Series
        The image of each row.

    Returns
    -------
    pandas.DataFrame
        One row per image: 1 where more than half of its readers said so, 0 where less, NaN where just half; and NaN
        instead of 0 for what any reader saw in an image where nothing has a majority.
    """
    share = seen.groupby(images.to_numpy()).mean().rename_axis("image_id")
    labels = (share > 0.5).astype(float).mask(share == 0.5)
    undecided = ~(share > 0.5).any(axis=1)
    return labels.mask((share > 0) & undecided.to_numpy()[:, None])
