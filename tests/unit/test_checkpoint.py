import errno
import os
import resource
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import torch

from synthcohort.core.checkpoint import (
    CHECKPOINT,
    RunFolder,
    read_weights,
    write_weights,
)
from synthcohort.core.errors import UserError

HOLDER = """
import sys, time
from synthcohort.core.checkpoint import RunFolder
with RunFolder(sys.argv[1], "a") as run:
    run.save({"step": 7})
    print("held", flush=True)
    time.sleep(60)
"""


def test_state_comes_back_exactly(tmp_path: Path) -> None:
    layer = torch.nn.Linear(3, 2)
    optimizer = torch.optim.Adam(layer.parameters(), betas=(0.0, 0.99))
    layer(torch.ones(1, 3)).sum().backward()
    optimizer.step()
    state = {
        "model": layer.state_dict(),
        "optimizer": optimizer.state_dict(),
        "history": [{"kimg": 1.5, "loss": None, "name": "r0"}],
        "big": 2**80,
    }
    with RunFolder(tmp_path / "run", "a") as run:
        assert run.load() is None
        run.save(state)
    with RunFolder(tmp_path / "run", "a") as run:
        loaded = run.load()
    assert loaded is not None
    assert loaded["history"] == state["history"]
    assert loaded["big"] == 2**80
    assert torch.equal(loaded["model"]["weight"], layer.weight)
    moments = loaded["optimizer"]["state"][0]["exp_avg_sq"]
    assert torch.equal(moments, optimizer.state_dict()["state"][0]["exp_avg_sq"])


def test_another_digest_sets_the_whole_folder_aside(tmp_path: Path) -> None:
    for number, digest in enumerate(["a", "b", "c"]):
        with RunFolder(tmp_path / "run", digest) as run:
            assert run.load() is None
            assert not (run.path / "grid.txt").exists()
            run.save({"number": number})
            (run.path / "grid.txt").write_text(digest)
    assert (tmp_path / "run-stale-1" / "grid.txt").read_text() == "a"
    assert (tmp_path / "run-stale-2" / "grid.txt").read_text() == "b"
    assert (tmp_path / "run-stale-2" / CHECKPOINT).exists()


def test_a_damaged_checkpoint_is_set_aside_and_runs_no_code(tmp_path: Path) -> None:
    import pickle

    class Planted:
        def __reduce__(self) -> tuple:
            return (os.mkdir, (str(tmp_path / "planted"),))

    run = tmp_path / "run"
    run.mkdir()
    for content in [b"junk", b"", pickle.dumps(Planted(), protocol=2)]:
        (run / CHECKPOINT).write_bytes(content)
        with RunFolder(run, "a") as opened:
            assert opened.load() is None
    assert not (tmp_path / "planted").exists()
    assert (tmp_path / "run-stale-3").is_dir()


def test_a_failed_save_keeps_the_last_checkpoint(tmp_path: Path) -> None:
    with RunFolder(tmp_path / "run", "a") as run:
        run.save({"step": 1})
        with pytest.raises(Exception, match=r"pickle|lambda"):
            run.save({"step": 2, "code": lambda: None})
    with RunFolder(tmp_path / "run", "a") as run:
        assert run.load() == {"step": 1}
        assert sorted(path.name for path in run.path.iterdir()) == [CHECKPOINT, "lock"]


@contextmanager
def files_of_at_most(size: int) -> Iterator[None]:
    """Let the system refuse longer files, as a full disk would."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_what_the_system_refuses_to_write_is_told_as_its_error(tmp_path: Path) -> None:
    """So that a job can say that the disk is full; what was there stays."""
    large = {"w": torch.ones(100_000)}
    with RunFolder(tmp_path / "run", "a") as run:
        run.save({"step": 1})
        with files_of_at_most(50_000), pytest.raises(OSError) as refused:
            run.save(large)
        assert refused.value.errno == errno.EFBIG
    with RunFolder(tmp_path / "run", "a") as run:
        assert run.load() == {"step": 1}
    with files_of_at_most(50_000), pytest.raises(OSError) as refused:
        write_weights(tmp_path / "weights.safetensors", large)
    assert refused.value.errno == errno.EFBIG
    assert [path.name for path in tmp_path.iterdir()] == ["run"]


def test_the_folder_is_locked_until_its_owner_dies(tmp_path: Path) -> None:
    owner = subprocess.Popen([sys.executable, "-c", HOLDER, str(tmp_path / "run")], stdout=subprocess.PIPE, text=True)
    try:
        assert owner.stdout is not None
        assert owner.stdout.readline() == "held\n"
        with pytest.raises(UserError, match=f"pid {owner.pid}"), RunFolder(tmp_path / "run", "a"):
            pass
    finally:
        owner.send_signal(signal.SIGKILL)
        owner.wait()
    with RunFolder(tmp_path / "run", "a") as run:
        assert run.load() == {"step": 7}


def test_weights_are_the_same_bytes_in_any_order_and_without_metadata(tmp_path: Path) -> None:
    a, b = torch.randn(3, 4), torch.randn(2)
    write_weights(tmp_path / "x", {"a": a.T, "b": b})
    write_weights(tmp_path / "y", {"b": b, "a": a.T})
    assert (tmp_path / "x").read_bytes() == (tmp_path / "y").read_bytes()
    assert b"__metadata__" not in (tmp_path / "x").read_bytes()
    assert torch.equal(read_weights(tmp_path / "x")["a"], a.T)


def test_missing_or_damaged_weights_end_in_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="missing"):
        read_weights(tmp_path / "none.safetensors")
    (tmp_path / "bad.safetensors").write_bytes(b"\x00" * 20)
    with pytest.raises(UserError, match="damaged"):
        read_weights(tmp_path / "bad.safetensors")
