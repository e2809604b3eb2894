"""Which code and which packages run here; nothing that names the machine or its users."""

import hashlib
import platform
import subprocess
from importlib import metadata
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from pydantic import BaseModel, ConfigDict

from synthcohort.core import versions
from synthcohort.core.atomic import file_digest

CODE = ("Snakefile", "rules", "scripts")
"""What of a checkout decides about results, besides config and lock."""
LOCK = "requirements.lock"


class Code(BaseModel):
    """The version of this project."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    version: str
    commit: str | None
    """Git commit; None where the code is no git checkout."""
    changed: bool | None
    """True where the code differs from that commit; None without one."""
    sha256: str
    """Digest over name and content of every code file, the same with and without git."""
    stages: dict[str, int]
    """Version of each stage; it is raised when the stage's results change."""


class Environment(BaseModel):
    """What the code ran on."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    python: str
    implementation: str
    system: str
    machine: str
    lock_sha256: str
    packages: dict[str, str]
    """Every installed package and its version."""
    differs_from_lock: dict[str, str]
    """Package → version in the lock, where another or none is installed."""


def code_version(root: str | Path) -> Code:
    """Describe the checkout (or copy) of this project at `root`."""
    root = Path(root).resolve()
    commit = None
    # A copy inside another project's checkout has no commit of its own.
    if (root / ".git").exists():
        commit = _git(root, "rev-parse", "HEAD")
    changes = _git(root, "status", "--porcelain", "--", *CODE, LOCK) if commit else None
    return Code(
        version=_version(),
        commit=commit or None,
        changed=None if changes is None else bool(changes),
        sha256=_code_digest(root),
        stages={name.lower(): value for name, value in vars(versions).items() if name.isupper()},
    )


def _version() -> str:
    try:
        return metadata.version("synthcohort")
    except metadata.PackageNotFoundError:
        return "not installed"


def _git(root: Path, *arguments: str) -> str | None:
    """Ask git; None where there is no git, or it will not say."""
    try:
        asked = subprocess.run(["git", *arguments], cwd=root, capture_output=True, text=True, timeout=60, check=True)
    except (OSError, subprocess.SubprocessError):
        return None
    return asked.stdout.strip()


def _code_digest(root: Path) -> str:
    files = [
        path
        for part in CODE
        for path in ([root / part] if (root / part).is_file() else (root / part).rglob("*"))
        if path.is_file() and path.suffix != ".pyc" and not any(name.endswith(".egg-info") for name in path.parts)
    ]
    digest = hashlib.sha256()
    for path in sorted(files, key=lambda path: path.relative_to(root).as_posix()):
        digest.update(f"{file_digest(path)}  {path.relative_to(root).as_posix()}\n".encode())
    return digest.hexdigest()


def environment(root: str | Path) -> Environment:
    """Describe Python, platform and packages, and compare the packages with the lock at `root`."""
    packages = {
        str(canonicalize_name(package.metadata["Name"])): package.version
        for package in metadata.distributions()
        if package.metadata["Name"]
    }
    lock = Path(root) / LOCK
    return Environment(
        python=platform.python_version(),
        implementation=platform.python_implementation(),
        system=platform.system(),
        machine=platform.machine(),
        lock_sha256=file_digest(lock),
        packages=dict(sorted(packages.items())),
        differs_from_lock=_differences(lock.read_text(encoding="utf-8"), packages),
    )


def _differences(lock: str, packages: dict[str, str]) -> dict[str, str]:
    """Find the pins that this environment does not keep; those for other platforms and Pythons are passed over."""
    pins = [Requirement(line) for line in lock.splitlines() if line.strip() and not line.startswith("#")]
    return {
        canonicalize_name(pin.name): str(pin.specifier).removeprefix("==")
        for pin in pins
        if (pin.marker is None or pin.marker.evaluate())
        and not pin.specifier.contains(packages.get(canonicalize_name(pin.name), "0.dev0"), prereleases=True)
    }
