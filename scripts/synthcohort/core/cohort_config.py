"""The config of one cohort: where its images and labels come from, and how they are read."""

from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from synthcohort.core.datasets import DATASETS

Name = Annotated[str, Field(pattern=r"^[a-z0-9]+(-[a-z0-9]+)*$", max_length=40)]
FindingName = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]*$", max_length=60)]
AugmentationKind = Literal["translation", "scaling", "rotation", "intensity", "cutout"]
if TYPE_CHECKING:
    Dataset = str
else:  # checked against the registry, which no type checker can read
    Dataset = Literal[tuple(DATASETS)]


class Model(BaseModel):
    """Base of every part of the config: unknown keys are refused, values never change."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)


class Phantom(Model):
    """An embedded cohort of simulated patients, drawn and written as DICOM."""

    anatomy: Literal["head", "chest"]
    """What is drawn: head CT slices with haemorrhages, or chest radiographs with the 14 CheXpert findings."""
    patients: int = Field(1200, ge=10, le=10_000_000)
    """Number of simulated patients (head: several slices each; chest: 1 to 5 studies each)."""
    side: int = Field(128, ge=32, le=1024)
    """Side of the drawn images in pixels; the written matrices vary a little around it."""
    seed: int = Field(1, ge=0)
    """Seed of the drawing; another seed gives other patients."""
    minimum_prevalence: float = Field(0.0, ge=0, le=0.2)
    """Findings that are naturally rarer than this share of the images are drawn this often; 0 keeps nature."""
    unfit_share: float = Field(0.02, ge=0, le=0.5)
    """Share of files that are broken or unfit on purpose, to show what happens to them."""


class OwnData(Model):
    """A user's own cohort: a folder of images and a table of labels (docs/own-data.md)."""

    dataset: Dataset = "generic"
    """Whose layout and tables they have: generic (one row per DICOM, PNG or JPEG file), or a public dataset's."""
    folder: str
    """Folder that is searched for images, with all its subfolders."""
    labels: str
    """generic: CSV or parquet table, one row per file, one column of 0, 1 or blank per finding; else the dataset's."""
    metadata: str | None = None
    """mimic-cxr only: its table of views, mimic-cxr-2.0.0-metadata.csv.gz."""
    key: str = "sop_instance_uid"
    """generic only: column of the label table that names the file: by SOPInstanceUID, by file name, or by path below
    the folder."""
    patient: str | None = None
    """generic only: column with patient IDs, needed for PNG and JPEG; it goes before what DICOM files say."""
    view: str | None = None
    """generic only: column with views (AP, PA, frontal, lateral, …); it goes before what DICOM files say."""
    uncertain: Literal["ones", "zeros", "unknown"] = "ones"
    """chexpert and mimic-cxr only: what uncertain labels (-1) count as; the paper took ones."""

    @model_validator(mode="after")
    def _own_keys(self) -> "OwnData":
        for key in ("metadata", "key", "patient", "view", "uncertain"):
            users = [name for name, dataset in DATASETS.items() if key in dataset.keys]
            if self.dataset not in users and getattr(self, key) != type(self).model_fields[key].default:
                raise ValueError(f"{key} is a key of dataset {' and '.join(users)} only; remove it here")
        if "metadata" in DATASETS[self.dataset].keys and self.metadata is None:
            raise ValueError(f"dataset {self.dataset} needs 'metadata', the path of its table of views")
        return self


class Window(Model):
    """A CT window in Hounsfield units (DICOM PS3.3 C.11.2.1.2)."""

    center: float
    """Hounsfield units at mid-grey."""
    width: float = Field(gt=0)
    """Hounsfield units from black to white."""


class Ingest(Model):
    """How files become 8-bit images."""

    modalities: list[Literal["CT", "CR", "DX"]] = Field(["CT"], min_length=1)
    """Modalities that are kept; files of any other are rejected with that reason."""
    windows: list[Window] = [Window(center=40, width=80)]
    """CT only: each window becomes one channel; the default is the brain window."""
    frontal_only: bool = True
    """CR and DX only: reject views that are known not to be frontal (PA or AP)."""
    slice_step: int = Field(1, ge=1)
    """CT only: of the labelled slices of each series keep every n-th, in the order of their positions; 1 keeps all."""
    shards: int = Field(2, ge=1, le=4096)
    """Number of jobs that decode the files; files go to a shard by a hash, so keep it fixed while a cohort grows."""
    maximum_rejected: float = Field(0.2, ge=0, le=1)
    """The run stops when more than this share of the files is rejected; views and slices that are left out by choice
    do not count."""
    allow_burned_in_annotation: bool = False
    """Keep files that say that text is burned into their pixels; such text can name patients."""
    scale_each_image: bool = False
    """Divide every image's stored values by their maximum, whatever their units: see `protocol`, which can set it."""
    maximum_pixels: int = Field(64_000_000, ge=1)
    """Larger images are rejected before they are decoded (decompression bombs)."""

    @model_validator(mode="after")
    def _one_kind(self) -> "Ingest":
        if "CT" in self.modalities and len(self.modalities) > 1:
            raise ValueError("modalities: CT and radiographs are different images; make them two cohorts")
        if self.slice_step > 1 and "CT" not in self.modalities:
            raise ValueError("slice_step: radiographs have no slices; remove it here")
        return self


class Cohort(Model):
    """A set of real (or simulated) patients' images with labels."""

    name: Name
    """Name of the cohort, used in paths: lower-case letters, digits and hyphens."""
    phantom: Phantom | None = None
    """Draw simulated patients; leave out for own data."""
    data: OwnData | None = None
    """Own data; leave out for an embedded cohort."""
    findings: list[FindingName] = []
    """Label columns to use, in this order; empty takes all of the label table."""
    ingest: Ingest = Ingest()
    """How files become 8-bit images."""
    horizontal_flip: bool = False
    """Mirror training images at random; leave off where the side carries meaning, as in the chest."""
    augmentation: list[AugmentationKind] = ["translation", "scaling", "rotation", "intensity", "cutout"]
    """What a discriminator's images may be changed by, where training images are few; see generators."""
    minimum_combination: int = Field(20, ge=1)
    """Label combinations with fewer training images than this are left out of every experiment."""
    maximum_combination: dict[str, Annotated[int, Field(ge=1)]] = {}
    """Images of a label combination, at most, by its findings (joined by +); chosen at random with the seed."""
    published: Literal["chest", "head"] | None = None
    """Lay the published values for chest radiographs or head CT over this cohort's paper figures, marked as such."""

    @model_validator(mode="after")
    def _one_source(self) -> "Cohort":
        if (self.phantom is None) == (self.data is None):
            raise ValueError("a cohort has either 'phantom' (simulated patients) or 'data' (own data)")
        if self.data is not None:
            wanted = DATASETS[self.data.dataset].modalities
            if wanted and not set(wanted) & set(self.ingest.modalities):
                raise ValueError(f"dataset {self.data.dataset} needs ingest.modalities: [{', '.join(wanted)}]")
        return self
