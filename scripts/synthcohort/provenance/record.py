"""provenance.json: what a study's results were made from, with what, and the digest of each."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, model_validator

from synthcohort.core.atomic import file_digest, read_json, value_digest
from synthcohort.core.config import Study
from synthcohort.core.errors import UserError
from synthcohort.core.plan import Plan
from synthcohort.core.shown import shown_config
from synthcohort.core.store import StoreInfo
from synthcohort.provenance.software import Code, Environment

PROVENANCE = "provenance.json"
SEED_RULE = (
    "first 8 bytes of the SHA-256 of study_seed|purpose|cohort|experiment|source|replicate, as an integer without its "
    "last bit"
)
Digest = Annotated[str, Field(pattern="^[0-9a-f]{64}$")]


class Part(BaseModel):
    """Base of every part of the record: unknown keys are refused."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Store(Part):
    """One image store of a cohort."""

    images: int
    data_version: str
    files: dict[str, Digest]
    """Path below the study's folder → SHA-256."""


class CohortData(Part):
    """What a cohort's images and labels were."""

    name: str
    simulated: bool
    source: dict[str, str]
    """Own data: ``inventory`` (16 digits, over path, size and time of every file) and the SHA-256 of ``labels`` and
    ``metadata``. Embedded cohort: SHA-256 of ``manifest`` and ``labels``."""
    stores: dict[str, Store]
    """By resolution."""


class Seeds(Part):
    """Where all randomness comes from."""

    study: int
    drawing: dict[str, int]
    """Embedded cohort → seed of its simulated patients."""
    replicates: list[str]
    rule: str = SEED_RULE


class Result(Part):
    """One file and the rule that made it."""

    path: str
    """Below the study's folder."""
    rule: str
    sha256: Digest


class Provenance(Part):
    """The whole record."""

    study: str
    config: dict[str, Any]
    """Resolved, every default filled in; paths of own data are left out."""
    config_sha256: Digest
    code: Code
    environment: Environment
    seeds: Seeds
    cohorts: list[CohortData]
    results: list[Result]

    @model_validator(mode="after")
    def _config_is_the_one_digested(self) -> "Provenance":
        if value_digest(self.config) != self.config_sha256:
            raise ValueError("config_sha256 is not the digest of config")
        return self

    @property
    def digests(self) -> dict[str, str]:
        """SHA-256 of every file on record, by its path below the study's folder."""
        stores = [store.files for cohort in self.cohorts for store in cohort.stores.values()]
        files = {path: digest for store in stores for path, digest in store.items()}
        return files | {result.path: result.sha256 for result in self.results}


def read_provenance(path: str | Path) -> Provenance:
    """Read a provenance.json.

    Raises
    ------
    UserError
        When it is missing, or is not what the workflow wrote.
    """
    try:
        return Provenance.model_validate(read_json(path))
    except FileNotFoundError:
        raise UserError(f"{path} is missing; finish the study, its last job writes it.") from None
    except ValueError:
        raise UserError(f"{path} is not as the workflow wrote it; run the study again to write it anew.") from None


def record_provenance(
    folder: str | Path,
    study: Study,
    code: Code,
    environment: Environment,
    sources: Mapping[str, Mapping[str, str]],
    results: Mapping[str, Sequence[str]],
) -> Provenance:
    """Take the digests of a finished study.

    Parameters
    ----------
    folder : str or Path
        The study's folder, ``results/STUDY``.
    study : Study
        Its config.
    code, environment
        What ran it.
    sources : mapping
        Cohort → digests of own data, as `synthcohort.dicom.sources.source_digests` gives them; empty where it is drawn.
    results : mapping
        Rule → paths of what it made, each below `folder`; a store.json stands for its image store.
    """
    folder, plan, config = Path(folder), Plan(study), shown_config(study)
    return Provenance(
        study=study.study,
        config=config,
        config_sha256=value_digest(config),
        code=code,
        environment=environment,
        seeds=Seeds(
            study=study.seed,
            drawing={cohort.name: cohort.phantom.seed for cohort in study.cohorts if cohort.phantom is not None},
            replicates=plan.replicates,
        ),
        cohorts=[_cohort(folder, plan, name, sources[name]) for name in plan.cohorts],
        results=[
            Result(path=name, rule=rule, sha256=digest)
            for rule, paths in sorted(results.items())
            for path in sorted(paths)
            for name, digest in _digests(folder, Path(path)).items()
        ],
    )


def _digests(folder: Path, path: Path) -> dict[str, str]:
    """Give the digest of a file by its path below the folder; with a store.json those of its store."""
    if path.name == "store.json":
        return _store(folder, path.parent).files
    return {path.relative_to(folder).as_posix(): file_digest(path)}


def _cohort(folder: Path, plan: Plan, name: str, source: Mapping[str, str]) -> CohortData:
    data = plan.source_of_images(name)
    if data["simulated"]:
        labels = Path(data["data"]["labels"])
        source = {"manifest": file_digest(labels.with_name("manifest.json")), "labels": file_digest(labels)}
    stores = {size: folder / "cohorts" / name / "store" / size for size in plan.sizes}
    return CohortData(
        name=name,
        simulated=data["simulated"],
        source=dict(source),
        stores={size: _store(folder, store) for size, store in stores.items()},
    )


def _store(folder: Path, store: Path) -> Store:
    """Take what store.json says of the files beside it: they are large, and it was written after them."""
    info, below = StoreInfo.read(store / "store.json"), store.relative_to(folder).as_posix()
    digests = info.digests | {"store.json": file_digest(store / "store.json")}
    return Store(
        images=info.images,
        data_version=info.data_version,
        files={f"{below}/{name}": digest for name, digest in sorted(digests.items())},
    )
