"""Stores, atomic files, seeds and the sentences of failing jobs."""

import errno
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from synthcohort.core.atomic import atomic_path, file_digest, write_json, write_parquet
from synthcohort.core.errors import UserError
from synthcohort.core.job import describe_os_error, run_job
from synthcohort.core.seeds import derive_seed
from synthcohort.core.store import Finding, ImageStore, StoreInfo, write_store


def make_store(folder: Path, images: np.ndarray, **changes: object) -> StoreInfo:
    records = pd.DataFrame(
        {
            "image_id": [f"i{number}" for number in range(len(images))],
            "patient_id": "p",
            "edema": np.arange(len(images)) % 2.0,
        }
    )
    info = StoreInfo(
        cohort="c",
        findings=[Finding(name="edema", display="Edema")],
        units="HU",
        windows=[(0, 80)],
        resolution=images.shape[-1],
        channels=images.shape[1],
        images=0,
        simulated=True,
    )
    blocks = [images[:3], images[3:]]
    return write_store(folder, blocks, records, info.model_copy(update=changes))


def flip_bit(path: Path, position: int) -> None:
    content = bytearray(path.read_bytes())
    content[position] ^= 1
    path.write_bytes(content)


@pytest.fixture
def images() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (5, 2, 8, 8), dtype=np.uint8)


def test_a_store_gives_back_what_was_written(tmp_path: Path, images: np.ndarray) -> None:
    make_store(tmp_path, images)
    store = ImageStore(tmp_path)
    np.testing.assert_array_equal(store.images, images)
    assert isinstance(store.images, np.memmap)
    assert store.labels.dtype == np.float32
    np.testing.assert_array_equal(store.labels[:, 0], [0, 1, 0, 1, 0])
    assert store.info.images == len(store) == 5


def test_equal_stores_have_equal_bytes_and_versions(tmp_path: Path, images: np.ndarray) -> None:
    first, second = make_store(tmp_path / "a", images), make_store(tmp_path / "b", images)
    assert first == second
    for name in ("images.npy", "records.parquet", "store.json"):
        assert file_digest(tmp_path / "a" / name) == file_digest(tmp_path / "b" / name)
    changed = images.copy()
    changed[0, 0, 0, 0] ^= 1
    assert make_store(tmp_path / "c", changed).data_version != first.data_version


@pytest.mark.parametrize("name", ["images.npy", "records.parquet"])
def test_a_flipped_byte_is_found_and_named(tmp_path: Path, images: np.ndarray, name: str) -> None:
    make_store(tmp_path, images)
    flip_bit(tmp_path / name, -7)
    with pytest.raises(UserError, match=f"{name} does not match its digest .* delete the folder and run"):
        ImageStore(tmp_path)


def test_any_flipped_byte_of_store_json_is_found(tmp_path: Path, images: np.ndarray) -> None:
    """Whether it is still JSON or not; only a blank that becomes another blank would say the same."""
    make_store(tmp_path, images)
    path = tmp_path / "store.json"
    whole = path.read_bytes()
    for position in range(len(whole)):
        if chr(whole[position]).isspace():
            continue
        flip_bit(path, position)
        with pytest.raises(UserError, match=r"store\.json is damaged; delete the folder and run"):
            StoreInfo.read(path)
        path.write_bytes(whole)
    assert StoreInfo.read(path).images == 5
    path.write_bytes(b"[]")
    with pytest.raises(UserError, match="is damaged"):
        StoreInfo.read(path)


def test_a_missing_file_is_named(tmp_path: Path, images: np.ndarray) -> None:
    make_store(tmp_path, images)
    (tmp_path / "records.parquet").unlink()
    with pytest.raises(UserError, match=r"records\.parquet is missing"):
        ImageStore(tmp_path)


def test_a_store_that_was_not_finished_is_no_store(tmp_path: Path, images: np.ndarray) -> None:
    make_store(tmp_path, images)
    with pytest.raises(ValueError, match="does not fit"):
        make_store(tmp_path, images, resolution=4)
    with pytest.raises(UserError, match=r"store\.json is missing"):
        ImageStore(tmp_path)


def test_an_interrupted_write_leaves_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_text("old")

    def write_half() -> None:
        with atomic_path(path) as temporary:
            temporary.write_text("half")
            raise RuntimeError("cut")

    with pytest.raises(RuntimeError, match="cut"):
        write_half()
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_private_files_are_private(tmp_path: Path) -> None:
    write_json(tmp_path / "secret.json", {"a": 1}, mode=0o600)
    assert (tmp_path / "secret.json").stat().st_mode & 0o777 == 0o600


def test_equal_tables_give_equal_bytes(tmp_path: Path) -> None:
    table = pd.DataFrame({"a": [1.5, np.nan], "b": ["x", None]})
    write_parquet(tmp_path / "1", table)
    write_parquet(tmp_path / "2", table.copy())
    assert (tmp_path / "1").read_bytes() == (tmp_path / "2").read_bytes()


def test_seeds_differ_by_every_part_and_do_not_change() -> None:
    # First 8 bytes of sha256("1|split|c|e|s|r"), halved; computed with sha256sum.
    assert derive_seed(1, "split", "c", "e", "s", "r") == 706505825812607258
    names = ["split", "c", "e", "s", "r"]
    seeds = {
        derive_seed(1, *(name + "x" * (place == changed) for place, name in enumerate(names))) for changed in range(6)
    }
    assert len(seeds) == 6


@pytest.mark.parametrize(
    ("error", "sentence"),
    [
        (UserError("config key a: is wrong."), "error: config key a: is wrong."),
        (OSError(errno.ENOSPC, "No space left on device", "results/x"), "error: results/x: the disk is full"),
        (PermissionError(errno.EACCES, "Permission denied", "/home/DOE_JOHN/x"), "error: the folder cannot be written"),
    ],
)
def test_a_job_ends_in_one_sentence(
    tmp_path: Path, capsys: pytest.CaptureFixture, error: Exception, sentence: str
) -> None:
    def work(_: object) -> None:
        raise error

    log = tmp_path / "job.log"
    with pytest.raises(SystemExit) as caught:
        run_job(SimpleNamespace(log=[str(log)], params={}), work)
    assert caught.value.code == 1
    for text in (capsys.readouterr().err, log.read_text()):
        assert sentence in text.splitlines()[-1]
        assert "Traceback" not in text
        assert "DOE" not in text


def test_a_defect_shows_its_frames_but_no_path(tmp_path: Path) -> None:
    def work(_: object) -> None:
        Path(tmp_path / "DOE_JOHN.dcm").read_bytes()

    log = tmp_path / "job.log"
    with pytest.raises(SystemExit):
        run_job(SimpleNamespace(log=[str(log)], params={}), work)
    assert "unexpected FileNotFoundError" in log.read_text()
    assert "DOE_JOHN.dcm'" not in log.read_text()


def test_other_os_errors_are_no_users_concern() -> None:
    assert describe_os_error(OSError(errno.EIO, "I/O error")) is None
