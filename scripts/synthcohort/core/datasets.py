"""The registry of dataset adapters. A new one is one module under ``cohort/datasets/`` and one entry here.

It names modules as text, so that planning a study reads no table and imports no pandas.
"""

from dataclasses import dataclass

CT = ("CT",)
RADIOGRAPHS = ("CR", "DX")


@dataclass(frozen=True)
class Registered:
    """Where an adapter lies, and what its config may hold.

    Attributes
    ----------
    module : str
        A module with a function ``read``; see ``cohort/datasets/tables.py``.
    modalities : tuple of str
        What the dataset's images are; empty where they may be anything.
    keys : tuple of str
        Keys of a cohort's ``data`` that this dataset has besides folder and labels.
    """

    module: str
    modalities: tuple[str, ...] = ()
    keys: tuple[str, ...] = ()


DATASETS = {
    "generic": Registered("synthcohort.cohort.datasets.generic", keys=("key", "patient", "view")),
    "chexpert": Registered("synthcohort.cohort.datasets.chexpert", RADIOGRAPHS, ("uncertain",)),
    "rsna-haemorrhage": Registered("synthcohort.cohort.datasets.rsna_haemorrhage", CT),
    "nih-chest-xray14": Registered("synthcohort.cohort.datasets.nih_chest_xray14", RADIOGRAPHS),
    "mimic-cxr": Registered("synthcohort.cohort.datasets.mimic_cxr", RADIOGRAPHS, ("metadata", "uncertain")),
    "vindr-cxr": Registered("synthcohort.cohort.datasets.vindr_cxr", RADIOGRAPHS),
}
