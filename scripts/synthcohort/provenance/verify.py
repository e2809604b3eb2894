"""Whether files are still those of which provenance.json took the digests."""

from dataclasses import dataclass
from pathlib import Path

from synthcohort.core.atomic import file_digest, read_json
from synthcohort.core.errors import UserError
from synthcohort.provenance.record import PROVENANCE, read_provenance

CRATE_METADATA = "ro-crate-metadata.json"
REPEATABLE = {".csv", ".tex", ".parquet", ".safetensors", ".npy"}
"""What another run on an equal machine gives the same bytes of; pages and pictures carry times, or depend on fonts."""
KEYED = {"records.parquet", "predictions.parquet"}
"""Hold pseudonyms, which come from a secret key of each installation, so they never repeat elsewhere."""


@dataclass(frozen=True)
class Checked:
    """The outcome: paths below the folder, sorted."""

    matching: list[str]
    changed: list[str]
    missing: list[str]
    unknown: list[str]
    """Only of an unpacked crate, which lists all that is in it."""

    def __str__(self) -> str:
        """Say it in a sentence or two, naming at most twenty files of a kind."""
        said = [f"{len(self.matching)} files match."]
        kinds = {
            "differ from the record": self.changed,
            "are missing": self.missing,
            "are not on record": self.unknown,
        }
        for word, paths in kinds.items():
            if paths:
                more = f" and {len(paths) - 20} more" if len(paths) > 20 else ""
                said.append(f"{len(paths)} {word}: {', '.join(paths[:20])}{more}.")
        return " ".join(said)


def check_results(folder: str | Path, against: str | Path | None = None) -> Checked:
    """Compare a study's files with their digests.

    Parameters
    ----------
    folder : str or Path
        ``results/STUDY``, or an unpacked crate, of which the parts that it lists are asked for, and nothing else.
    against : str or Path, optional
        provenance.json of another run, for example a colleague's: then tables, weights and images are compared, which
        repeat byte for byte.

    Raises
    ------
    UserError
        When there is no readable provenance.json, or none of the files that it names.
    """
    folder = Path(folder)
    record = read_provenance(against or folder / PROVENANCE)
    expected = record.digests
    if against is not None:
        expected = {path: digest for path, digest in expected.items() if _repeats(Path(path))}
    unknown: set[str] = set()
    if against is None and (folder / CRATE_METADATA).is_file():
        parts = {
            entity["@id"]: entity["sha256"]
            for entity in read_json(folder / CRATE_METADATA)["@graph"]
            if "sha256" in entity
        }
        expected = parts | {path: digest for path, digest in expected.items() if path in parts}
        files = (path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())
        unknown = set(files) - set(parts) - {CRATE_METADATA}
    there = {path: digest for path, digest in expected.items() if (folder / path).is_file()}
    if not there:
        raise UserError(f"{folder}: there is none of the {len(expected)} files on record; name the study's folder.")
    matching = {path for path, digest in there.items() if file_digest(folder / path) == digest}
    changed, missing = set(there) - matching, set(expected) - set(there)
    return Checked(sorted(matching), sorted(changed), sorted(missing), sorted(unknown))


def _repeats(path: Path) -> bool:
    return path.suffix in REPEATABLE and path.name not in KEYED


def verify(folder: str | Path, against: str | Path | None = None) -> Checked:
    """Do as `check_results`, and raise where a file differs, is missing or does not belong there.

    Raises
    ------
    UserError
        Naming the files.
    """
    checked = check_results(folder, against)
    if checked.changed or checked.missing or checked.unknown:
        hint = "Another config, code, lock, number of threads or kind of processor gives other bytes."
        if against is None:
            hint = "Restore them from a copy, or delete them and run the study again."
        raise UserError(f"{folder}: {checked} {hint}")
    return checked
