"""Small trees with the layout and names of public datasets, and the way from their tables to stores.

Layouts and column names are those of the releases that docs/own-data.md cites; patients, labels and pixels are made up.
"""

import gzip
from pathlib import Path

import numpy as np
import pandas as pd
from PIL import Image

from dicom_files import ct, ct_values, radiograph, save
from synthcohort.cohort.datasets.chexpert import FINDINGS as CHEXPERT
from synthcohort.cohort.datasets.registry import read_dataset
from synthcohort.cohort.datasets.rsna_haemorrhage import FINDINGS as RSNA
from synthcohort.cohort.datasets.vindr_cxr import FINDINGS as VINDR
from synthcohort.cohort.labels import mark_normal, names_with_normal
from synthcohort.core.cohort_config import Ingest, OwnData
from synthcohort.core.datasets import DATASETS
from synthcohort.core.store import ImageStore
from synthcohort.dicom.index import index_folder
from synthcohort.dicom.merge import merge_shards
from synthcohort.dicom.preprocess import Shard, preprocess_shard

SIDE = 16


class Result:
    """What became of a dataset: `table`, the final index by path, and the store."""

    def __init__(self, table: pd.DataFrame, store: ImageStore) -> None:
        self.table, self.store = table, store

    def labels(self, path: str) -> dict[str, float]:
        """Positive (1) and unknown (NaN) findings of a file."""
        row = self.table.loc[path, self.store.info.finding_names]
        return {name: value for name, value in row.items() if value != 0}

    def image(self, path: str) -> np.ndarray:
        """The image of a file, ``[side, side]``."""
        return self.store.images[self.store.records["image_id"].tolist().index(self.table.loc[path, "file_id"])][0]


def ingest(work: Path, data: OwnData, findings: tuple[str, ...] = (), **policy) -> Result:
    """Read the tables, index, preprocess and merge, as the scripts of the rules do."""
    modalities = DATASETS[data.dataset].modalities or ("CR", "DX")
    settings = Ingest(**{"modalities": list(modalities), "shards": 2, "maximum_rejected": 0.9, **policy})
    labels = read_dataset(data)
    chosen = list(findings) or labels.findings
    private = work / "private"
    index = index_folder(
        data.folder, labels.table, labels.key, chosen, settings, SIDE, private, 1, columns=labels.columns
    )
    names = names_with_normal(index.parts(), [finding.name for finding in index.findings])
    table = mark_normal(index.table, names)
    shard = Shard("test", False, Path(data.folder), private, settings, [SIDE], index.findings)
    folders = [work / "shards" / str(number) for number in range(settings.shards)]
    for number, folder in enumerate(folders):
        preprocess_shard(shard, number, index.parts(), folder)
    merge_shards([table], folders, work / "store", work / "index.parquet", [SIDE], settings.maximum_rejected)
    merged = pd.read_parquet(work / "index.parquet")
    paths = pd.read_parquet(private / "files.parquet").set_index("file_id")["path"]
    merged.index = pd.Index(paths.loc[merged["file_id"]])
    return Result(merged, ImageStore(work / "store" / f"{SIDE:03d}"))


def grey(seed: int = 0, rows: int = 32, columns: int = 32) -> np.ndarray:
    """uint8 ``[rows, columns]``: a smooth gradient of its own for each seed, which JPEG keeps nearly as it is."""
    y, x = np.mgrid[:rows, :columns]
    return (40 + 3 * x + (1 + seed % 3) * y).clip(0, 255).astype(np.uint8)


def picture(path: Path, values: np.ndarray, **options) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(values).save(path, **options)
    return path


def reasons(result: Result) -> dict[str, str]:
    return result.table.loc[result.table["status"] == "rejected", "reason"].to_dict()


def table_file(path: Path, rows: list[dict], columns: list[str]) -> str:
    path.parent.mkdir(parents=True, exist_ok=True)
    pd.DataFrame(rows, columns=columns).to_csv(path, index=False)
    return str(path)


# CheXpert

CHEXPERT_COLUMNS = ["Path", "Sex", "Age", "Frontal/Lateral", "AP/PA", *CHEXPERT]


def chexpert(work: Path, uncertain: str = "ones") -> OwnData:
    root = work / "CheXpert-v1.0-small"
    images = {
        "train/patient00001/study1/view1_frontal.jpg": {"AP/PA": "AP", "Edema": 1, "Pleural Effusion": -1},
        "train/patient00001/study1/view2_lateral.jpg": {"Edema": 1, "Pleural Effusion": -1},
        "train/patient00001/study2/view1_frontal.jpg": {"AP/PA": "PA", "No Finding": 1},
        "train/patient00002/study1/view1_frontal.jpg": {"Pneumonia": 0},
    }
    rows = []
    for number, (name, labels) in enumerate(images.items()):
        picture(root / name, grey(number), quality=95)
        side = "Lateral" if "lateral" in name else "Frontal"
        rows.append(
            {"Path": f"CheXpert-v1.0-small/{name}", "Sex": "Female", "Age": 68, "Frontal/Lateral": side} | labels
        )
    labels = table_file(root / "train.csv", rows, CHEXPERT_COLUMNS)
    picture(root / "valid/patient64541/study1/view1_frontal.jpg", grey())
    return OwnData(dataset="chexpert", folder=str(root), labels=labels, uncertain=uncertain)


# RSNA intracranial haemorrhage


def rsna(work: Path, extra: tuple[str, ...] = ()) -> OwnData:
    lines = []
    for number in range(4):
        image = f"ID_{number:09x}"
        dataset = ct(ct_values(seed=number), number=number, patient=f"ID_{number // 2:08x}")
        dataset.SOPInstanceUID = image
        save(dataset, work / "stage_2_train" / f"{image}.dcm")
        positive = {"any", "subdural"} if number == 1 else set()
        lines += [f"{image}_{finding},{int(finding in positive)}" for finding in (*RSNA[1:], "any")]
    lines += [lines[6], "ID_00000dead_any,0", *extra]  # the real table repeats some rows, too
    (work / "stage_2_train.csv").write_text("ID,Label\n" + "\n".join(lines) + "\n")
    return OwnData(
        dataset="rsna-haemorrhage", folder=str(work / "stage_2_train"), labels=str(work / "stage_2_train.csv")
    )


# NIH ChestX-ray14

NIH_HEADING = (
    "Image Index,Finding Labels,Follow-up #,Patient ID,Patient Age,Patient Gender,View Position,"
    "OriginalImage[Width,Height],OriginalImagePixelSpacing[x,y],"
)


def nih(work: Path, findings: str = "Effusion|Pleural_Thickening") -> OwnData:
    picture(work / "images_001/images/00000001_000.png", grey(0))
    picture(work / "images_001/images/00000001_001.png", np.dstack([grey(1)] * 3 + [np.full((32, 32), 255, np.uint8)]))
    picture(work / "images_002/images/00001336_000.png", grey(2))
    rows = [
        f"00000001_000.png,{findings},0,1,57,M,PA,2682,2749,0.143,0.143,",
        "00000001_001.png,Cardiomegaly,1,1,58,M,AP,2894,2729,0.143,0.143,",
        "00001336_000.png,No Finding,0,1336,60,F,PA,2500,2048,0.168,0.168,",
    ]
    (work / "Data_Entry_2017.csv").write_text("\n".join([NIH_HEADING, *rows]) + "\n")
    return OwnData(dataset="nih-chest-xray14", folder=str(work), labels=str(work / "Data_Entry_2017.csv"))


# MIMIC-CXR

MIMIC_VIEWS = ["PA", "XTABLE LATERAL", "", "AP"]


MIMIC_COLUMNS = ["dicom_id", "subject_id", "study_id", "PerformedProcedureStepDescription", "ViewPosition", "Rows"]


def mimic(work: Path, ending: str = "dcm") -> tuple[OwnData, list[str]]:
    rows, names = [], []
    for number, view in enumerate(MIMIC_VIEWS):
        subject, study = 10000032 + number // 3, 50414267 + number // 2
        dicom = f"02aa804e-bde0afdd-112c0b34-7bc16630-{number:08x}"
        names.append(f"files/p10/p{subject}/s{study}/{dicom}.{ending}")
        if ending == "jpg":
            picture(work / names[-1], grey(number))
        else:
            dataset = radiograph(number=number, patient=str(subject), ViewPosition=view)
            dataset.SOPInstanceUID = dicom
            save(dataset, work / names[-1])
        rows.append({"dicom_id": dicom, "subject_id": subject, "study_id": study, "ViewPosition": view, "Rows": 32})
    studies = [
        {"subject_id": 10000032, "study_id": 50414267, "Edema": 1, "Fracture": -1},
        {"subject_id": 10000032, "study_id": 50414268, "No Finding": 1},
        {"subject_id": 10000033, "study_id": 50414268, "Pneumonia": 1, "Edema": 0},
    ]
    metadata, labels = work / "mimic-cxr-2.0.0-metadata.csv.gz", work / "mimic-cxr-2.0.0-chexpert.csv.gz"
    metadata.write_bytes(gzip.compress(pd.DataFrame(rows, columns=MIMIC_COLUMNS).to_csv(index=False).encode()))
    header = ["subject_id", "study_id", *sorted(CHEXPERT)]
    labels.write_bytes(gzip.compress(pd.DataFrame(studies, columns=header).to_csv(index=False).encode()))
    data = OwnData(dataset="mimic-cxr", folder=str(work / "files"), labels=str(labels), metadata=str(metadata))
    return data, [name.removeprefix("files/") for name in names]


# VinDr-CXR

# All but these attributes were removed from its files.
VINDR_KEPT = {
    "PatientSex", "PatientAge", "PhotometricInterpretation", "Rows", "Columns", "PixelSpacing", "BitsAllocated",
    "BitsStored", "HighBit", "PixelRepresentation", "WindowCenter", "WindowWidth", "SamplesPerPixel", "PixelData",
}  # fmt: skip


def vindr(work: Path, other: str = "Other diseases") -> tuple[OwnData, list[str]]:
    names, rows = [], []
    votes = [
        [{"Cardiomegaly": 1}, {"Cardiomegaly": 1, "Edema": 1}, {"No finding": 1}],
        [{"Nodule/Mass": 1}, {"ILD": 1}, {other: 1}],
        [{"No finding": 1}, {"No finding": 1}, {"ILD": 1}],
    ]
    for number, readers in enumerate(votes):
        image = f"{number:032x}"
        names.append(f"{image}.dicom")
        dataset = radiograph(number=number)
        for element in list(dataset):
            if element.keyword not in VINDR_KEPT:
                del dataset[element.tag]
        dataset.file_meta.MediaStorageSOPInstanceUID = image
        save(dataset, work / "train" / names[-1])
        for reader, seen in enumerate(readers):
            rows.append({"image_id": image, "rad_id": f"R{reader}"} | dict.fromkeys((*VINDR, other), 0) | seen)
    columns = ["image_id", "rad_id", *VINDR[:-1], other, VINDR[-1]]
    labels = table_file(work / "annotations/image_labels_train.csv", rows, columns)
    return OwnData(dataset="vindr-cxr", folder=str(work / "train"), labels=labels), names


# Any PNG and JPEG files


def generic(work: Path, names: list[str], **changes) -> OwnData:
    rows = [{"file": name, "patient": f"00{number // 2}", "bleed": number % 2} for number, name in enumerate(names)]
    labels = table_file(work / "labels.csv", rows, ["file", "patient", "bleed"])
    return OwnData(**{"folder": str(work / "in"), "labels": labels, "key": "file", "patient": "patient", **changes})


# Slices


def series(work: Path) -> OwnData:
    """Two series of six slices whose names say nothing about their order."""
    names = []
    for number in range(12):
        place = number % 6
        dataset = ct(ct_values(seed=number), number=number, patient="P")
        dataset.StudyInstanceUID, dataset.SeriesInstanceUID = "1.2.1", f"1.2.1.{number // 6}"
        dataset.ImagePositionPatient = ["-100", "-100", str(-30 + 5 * place)]
        names.append(f"series{number // 6}/{(7 * number) % 12:02d}-place{place}.dcm")
        save(dataset, work / "in" / names[-1])
    return generic(work, names, patient=None)
