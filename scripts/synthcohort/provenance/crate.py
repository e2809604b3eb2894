"""An RO-Crate of a finished study for a colleague: how it was run and its numbers, no image and no patient.

It follows Workflow Run Crate 0.6 (https://w3id.org/ro/wfrun/workflow/0.6), which builds on RO-Crate 1.3.
"""

import mimetypes
import tempfile
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path

import yaml
from rocrate.model.contextentity import ContextEntity
from rocrate.rocrate import ROCrate

from synthcohort.core.atomic import atomic_path, file_digest
from synthcohort.core.errors import UserError
from synthcohort.provenance.record import PROVENANCE, Provenance, read_provenance
from synthcohort.provenance.software import LOCK

PROFILES = {"process": "Process Run Crate", "workflow": "Workflow Run Crate"}
PROFILE_VERSION = "0.6"
CONFIG, README, WORKFLOW = "config.yaml", "README.md", "workflow"
LICENSE = "Not stated by the study's config; ask the sender before passing it on."
TEXT = Path(__file__).with_name("crate.md")
TYPES = {".md": "text/markdown", ".yaml": "application/yaml", ".parquet": "application/vnd.apache.parquet"}


def write_crate(path: str | Path, folder: str | Path, results: Sequence[str], root: str | Path) -> None:
    """Write the crate as one ZIP file.

    Parameters
    ----------
    path : str or Path
        The file.
    folder : str or Path
        The study's folder, with provenance.json.
    results : sequence of str
        Paths of what goes in, each below `folder`. Nothing else of the folder is looked at.
    root : str or Path
        This project's folder, for the workflow and the lock.

    Raises
    ------
    UserError
        When a file, or the lock, is not the one that provenance.json knows.
    """
    folder, root = Path(folder), Path(root)
    record = read_provenance(folder / PROVENANCE)
    parts = {Path(result).relative_to(folder).as_posix(): Path(result) for result in results}
    _check(parts, record)
    if file_digest(root / LOCK) != record.environment.lock_sha256:
        raise UserError(f"{LOCK} is not the one that {PROVENANCE} knows; check out the commit that ran the study.")
    with tempfile.TemporaryDirectory() as made:
        texts = {CONFIG: yaml.safe_dump(record.config, sort_keys=False, allow_unicode=True), README: _readme(record)}
        for name, text in texts.items():
            (Path(made) / name).write_text(text, encoding="utf-8")
        inputs = {CONFIG: Path(made) / CONFIG, LOCK: root / LOCK}
        others = {README: Path(made) / README, PROVENANCE: folder / PROVENANCE}
        crate = _describe(record, folder, inputs, parts, others, root)
        with atomic_path(path) as temporary:
            crate.write_zip(temporary)


def _check(parts: Mapping[str, Path], record: Provenance) -> None:
    known = record.digests
    for name, path in parts.items():
        if file_digest(path) != known.get(name):
            raise UserError(f"{name} is not the file that {PROVENANCE} knows; run the study again, then the crate.")


def _readme(record: Provenance) -> str:
    code = record.code
    commit = f"git commit {code.commit}{' with changes' if code.changed else ''}" if code.commit else "no git commit"
    simulated = [cohort.name for cohort in record.cohorts if cohort.simulated]
    return TEXT.read_text(encoding="utf-8").format(
        study=record.study,
        version=code.version,
        commit=commit,
        python=record.environment.python,
        simulated=f"The patients of {' and '.join(simulated)} are simulated. " if simulated else "",
    )


def _describe(
    record: Provenance,
    folder: Path,
    inputs: Mapping[str, Path],
    results: Mapping[str, Path],
    others: Mapping[str, Path],
    root: Path,
) -> ROCrate:
    crate = ROCrate()
    crate.name = f"SynthCohort study {record.study}"
    crate.description = (
        "Config, code version, lock, tables and number figures of a study that compares classifiers trained on real "
        "and on synthetic medical images. It holds no image of a patient and no identifier."
    )
    crate.license = (record.config.get("release") or {}).get("license", LICENSE)
    finished = datetime.fromtimestamp((folder / PROVENANCE).stat().st_mtime, UTC).replace(microsecond=0)
    crate.datePublished = finished
    workflow = crate.add_workflow(
        root / "Snakefile",
        f"{WORKFLOW}/Snakefile",
        main=True,
        lang="snakemake",
        lang_version=record.environment.packages.get("snakemake"),
        properties={
            "name": "SynthCohort",
            "version": record.code.version,
            "identifier": record.code.commit or record.code.sha256,
            "sha256": file_digest(root / "Snakefile"),
        },
    )
    rules = {f"{WORKFLOW}/{path.relative_to(root).as_posix()}": path for path in sorted(root.glob("rules/*.smk"))}
    added = {name: _add(crate, name, path) for name, path in {**inputs, **results, **others, **rules}.items()}
    made_by = {result.path: result.rule for result in record.results}
    for name in results:
        added[name]["description"] = f"Made by rule {made_by[name]}."
    action = crate.add_action(
        workflow,
        identifier="#run",
        object=[added[name] for name in inputs],
        result=[added[name] for name in [*results, PROVENANCE]],
        properties={"name": f"Run of study {record.study}", "endTime": finished.isoformat()},
    )
    crate.root_dataset.append_to("mentions", action)
    for key, name in PROFILES.items():
        identifier = f"https://w3id.org/ro/wfrun/{key}/{PROFILE_VERSION}"
        properties = {"@type": ["CreativeWork", "Profile"], "name": name, "version": PROFILE_VERSION}
        crate.root_dataset.append_to("conformsTo", crate.add(ContextEntity(crate, identifier, properties=properties)))
    return crate


def _add(crate: ROCrate, name: str, path: Path):  # type: ignore[no-untyped-def]  # rocrate has no types
    kind = TYPES.get(path.suffix) or mimetypes.guess_type(name)[0] or "text/plain"
    properties = {"name": name, "encodingFormat": kind, "sha256": file_digest(path)}
    return crate.add_file(path, name, properties=properties, record_size=True)
