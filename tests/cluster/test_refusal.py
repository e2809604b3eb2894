"""The SLURM of the tests keeps off one that is there already: files in a folder of their own, nothing is started."""

from pathlib import Path

import psutil
import pytest
import slurm


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name, path in {"CONFIG": "slurm.conf", "CARDS": "gres.conf", "STATE": "state"}.items():
        monkeypatch.setattr(slurm, name, tmp_path / path)
    monkeypatch.delenv("SLURM_CONF", raising=False)
    monkeypatch.setattr(psutil, "process_iter", lambda names: iter(()))
    return tmp_path


@pytest.mark.parametrize("name", ["slurm.conf", "gres.conf"])
def test_a_foreign_file_is_refused_and_left(folder: Path, name: str) -> None:
    (folder / name).write_text("ClusterName=hospital\n")
    with pytest.raises(RuntimeError, match=f"{name} belongs to somebody else"):
        slurm.Slurm()
    assert (folder / name).read_text() == "ClusterName=hospital\n"


@pytest.mark.parametrize("name", ["slurmctld", "slurmd"])
def test_a_running_daemon_is_refused(folder: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    running = psutil.Process()
    running.info = {"name": name}
    monkeypatch.setattr(psutil, "process_iter", lambda names: iter([running]))
    with pytest.raises(RuntimeError, match=f"a {name} runs here already"):
        slurm.Slurm()


def test_a_cluster_elsewhere_is_refused(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SLURM_CONF", "/shared/slurm.conf")
    with pytest.raises(RuntimeError, match="SLURM_CONF is /shared/"):
        slurm.Slurm()


def test_a_failed_start_removes_only_what_it_wrote(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SLURM_CONF", "/dev/null")
    asked: list[tuple[str, ...]] = []
    monkeypatch.setattr(slurm, "ask", lambda *command: asked.append(command))
    monkeypatch.setattr(slurm.subprocess, "run", lambda *command, **options: 1 / 0)  # before the first daemon
    running = slurm.Slurm()
    with pytest.raises(ZeroDivisionError):
        running.start()
    assert (folder / "slurm.conf").is_file()
    (folder / "theirs.conf").write_text("")
    running.stop()
    assert [path.name for path in folder.glob("*.conf")] == ["theirs.conf"]
    assert not asked, "no job of anybody is cancelled"
