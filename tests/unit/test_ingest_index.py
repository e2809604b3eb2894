"""The index: labels joined by whatever names the files, pseudonyms, order, odd folders."""

import hashlib
import multiprocessing
import os
import shutil
import stat
import tempfile
from pathlib import Path, PurePosixPath

import numpy as np
import pandas as pd
import pytest

from dicom_files import ct, save
from synthcohort.core.cohort_config import Ingest
from synthcohort.core.errors import UserError
from synthcohort.dicom.filetable import FileTable, disk_errors
from synthcohort.dicom.folder import Entry, changes_since_index, inventory_digest, note_indexed, walk
from synthcohort.dicom.index import COLUMNS, check_rejected, index_folder, shard_of
from synthcohort.dicom.labels import match, read_labels
from synthcohort.dicom.pseudonyms import Pseudonyms
from synthcohort.dicom.reasons import Reason

INGEST = Ingest(shards=3)
NOBODY = 65534


@pytest.fixture
def cohort(tmp_path):
    """Six slices of three patients in two folders."""
    for number in range(6):
        save(ct(number=number, patient=f"P{number // 2}"), tmp_path / "in" / f"s{number % 2}" / f"i{number}.dcm")
    return tmp_path


def uids(count=6):
    return [f"1.2.826.0.1.3680043.8.498.{number}" for number in range(count)]


def label_table(key="uid", values=None):
    return pd.DataFrame({key: values or uids(), "bleed": [0, 1, 0, 1, np.nan, 1], "fracture": [0, 0, 1, 1, 0, 0]})


def index(cohort, labels, key="uid", findings=(), **changes):
    arguments = {"ingest": INGEST, "smallest": 16, "private_folder": cohort / "private", "seed": 1, **changes}
    return index_folder(cohort / "in", labels, key, list(findings), **arguments)


def originals(cohort):
    return pd.read_parquet(cohort / "private" / "files.parquet")


def test_one_row_per_file(cohort):
    (cohort / "in" / "notes.txt").write_text("not an image")
    result = index(cohort, label_table())
    table = result.table
    assert list(table.columns) == [*COLUMNS, "bleed", "fracture"]
    assert sorted(table["status"]) == ["accepted"] * 6 + ["rejected"]
    assert table.loc[table["status"] == "rejected", "reason"].tolist() == [Reason.NOT_DICOM.value]
    assert table["patient_id"].nunique() == 4  # three patients and the empty one of the text file
    assert (table["image_id"] == table["file_id"]).all()
    assert table["file_id"].str.fullmatch("[0-9a-f]{16}").all()
    accepted = table[table["status"] == "accepted"]
    assert (accepted["rows"] == 32).all()
    assert set(accepted["shard"]) <= {0, 1, 2}
    assert (result.files_without_label, result.labels_without_file) == (0, 0)


def test_labels_reach_their_files(cohort):
    table = index(cohort, label_table()).table.set_index("file_id")
    private = originals(cohort).set_index("sop_instance_uid")["file_id"]
    found = table.loc[private.loc[uids()], "bleed"].tolist()
    assert np.array_equal(found, [0, 1, 0, 1, np.nan, 1], equal_nan=True)


@pytest.mark.parametrize(
    "keys",
    [
        uids(),
        [f"s{number % 2}/i{number}.dcm" for number in range(6)],
        [f".\\s{number % 2}\\i{number}.dcm" for number in range(6)],
        [f"i{number}.dcm" for number in range(6)],
        [f"i{number}" for number in range(6)],
    ],
    ids=["uid", "path", "windows path", "file name", "stem"],
)
@pytest.mark.parametrize("form", ["csv", "parquet", "table"])
def test_the_key_may_be_uid_path_or_file_name(cohort, keys, form):
    labels = label_table("whatever", keys)
    if form != "table":
        path = cohort / f"labels.{form}"
        labels.to_csv(path, index=False) if form == "csv" else labels.to_parquet(path)
        labels = path
    table = index(cohort, labels, "whatever").table
    assert (table["status"] == "accepted").all()
    assert table["bleed"].sum() == 3


def test_leading_zeros_of_a_csv_key_survive(cohort):
    for number in range(6):
        save(ct(number=number), cohort / "in" / "zeros" / f"00{number}")
    (cohort / "labels.csv").write_text("name,bleed\n" + "".join(f"00{n},{n % 2}\n" for n in range(6)), "utf-8-sig")
    result = index(cohort, cohort / "labels.csv", "name")
    assert (result.table["status"] == "accepted").sum() == 6


def test_both_sides_of_the_join_are_counted(cohort):
    labels = label_table().iloc[:4]
    extra = labels.iloc[:1].assign(uid="9.9.9")
    result = index(cohort, pd.concat([labels, extra]))
    assert (result.files_without_label, result.labels_without_file) == (2, 1)
    assert (result.table["reason"] == Reason.NO_LABEL.value).sum() == 2


def test_no_overlap_is_one_clear_sentence(cohort):
    with pytest.raises(UserError, match=r"column 'uid' \(6 different values\) names none of the 6 files") as error:
        index(cohort, label_table(values=[f"SECRET{number}" for number in range(6)]))
    assert "SECRET" not in str(error.value)


def test_file_names_that_are_not_unique_are_refused(cohort):
    save(ct(number=9), cohort / "in" / "s2" / "i1.dcm")
    with pytest.raises(UserError, match="2 files share theirs") as error:
        index(cohort, label_table(values=[f"i{number}.dcm" for number in range(6)]))
    assert "i1" not in str(error.value)


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"bleed": [0, 1, 2, 0, 0, 0]}, None),  # not a finding unless named: left out
        ({"bleed": [0, 1, -1, 0, 0, 0]}, "column 'bleed' holds something other than 0, 1 or blank in row 3"),
        ({"uid": [*uids(5), uids()[0]], "bleed": [0, 1, 0, 1, 0, 1]}, "rows 1 and 6 below the heading name the same"),
        ({"Bleed ": [0] * 6}, "columns 'bleed' and 'Bleed ' are the same finding"),
    ],
)
def test_bad_labels(cohort, changes, sentence):
    labels = label_table().assign(**changes)
    if sentence is None:
        assert [finding.name for finding in index(cohort, labels).findings] == ["fracture"]
        with pytest.raises(UserError, match="column 'bleed' holds something other than 0, 1 or blank in row 3"):
            index(cohort, labels, findings=["bleed"])
    else:
        with pytest.raises(UserError, match=sentence):
            index(cohort, labels)


def test_equal_rows_of_one_file_count_once(cohort):
    labels = label_table()
    result = index(cohort, pd.concat([labels, labels.iloc[:2]]))
    assert (result.table["status"] == "accepted").all()


def test_only_columns_of_0_and_1_become_findings():
    table = label_table().assign(
        **{"Name": "Doe", "age": 63, "Pleural Effusion": True, "weight": 1.5, "text": ["0", "1"] * 3, "blank": np.nan}
    )
    labels = read_labels(table, "uid", [])
    assert [(finding.name, finding.display) for finding in labels.findings] == [
        ("bleed", "Bleed"),
        ("fracture", "Fracture"),
        ("pleural_effusion", "Pleural Effusion"),
    ]


def test_findings_keep_the_order_of_the_config():
    labels = read_labels(label_table(), "uid", ["fracture", "bleed"], display={"bleed": "Any haemorrhage"})
    assert [finding.display for finding in labels.findings] == ["Fracture", "Any haemorrhage"]
    assert labels.values[:4].tolist() == [[0, 0], [0, 1], [1, 0], [1, 1]]


@pytest.mark.parametrize(
    ("key", "findings", "sentence"),
    [
        ("uidd", [], r"no column 'uidd' \(did you mean 'uid'\?\)"),
        ("uid", ["fractur"], r"no column for the finding 'fractur' \(did you mean 'fracture'\?\)"),
    ],
)
def test_a_misspelt_column_is_named_with_its_neighbour(key, findings, sentence):
    with pytest.raises(UserError, match=sentence):
        read_labels(label_table(), key, findings)


def test_unreadable_label_tables(tmp_path):
    (tmp_path / "broken.csv").write_bytes(b'uid,a\n"SECRET,1\n')
    (tmp_path / "latin.csv").write_bytes("uid,ä\n1,1\n".encode("latin-1"))
    for name in ("broken.csv", "latin.csv", "absent.csv"):
        with pytest.raises(UserError, match="the label table") as error:
            read_labels(tmp_path / name, "uid", [])
        assert "SECRET" not in str(error.value)
        assert name not in str(error.value)


def test_match_prefers_the_reading_with_most_hits(tmp_path):
    labels = read_labels(pd.DataFrame({"k": ["a/1", "b/1", "2"], "x": [0, 1, 0]}), "k", [])
    files = FileTable(tmp_path)
    files.add_headers((path, "", None) for path in ("a/1", "b/1", "c/2"))
    column, unused = match(labels, "k", files)
    assert (column, unused) == ("path", 1)
    assert [row for *_, row in files.labelled_headers(column)] == [0, 1, -1]


# Pseudonyms and order


def test_order_depends_on_seed_and_patients_and_not_on_the_key(cohort):
    first = originals_in_order(cohort, index(cohort, label_table()).table)
    (cohort / "private" / "key").unlink()
    again = originals_in_order(cohort, index(cohort, label_table()).table)
    assert again == first
    other = originals_in_order(cohort, index(cohort, label_table(), seed=2).table)
    assert other != first
    wanted = sorted(first, key=lambda name: hashlib.sha256(f"1|P{int(name[4]) // 2}|{name}".encode()).digest())
    assert first == wanted


def originals_in_order(cohort, table):
    paths = originals(cohort).set_index("file_id")["path"]
    return paths.loc[table["file_id"]].tolist()


def test_another_key_gives_other_pseudonyms(cohort):
    first = index(cohort, label_table()).table
    (cohort / "private" / "key").unlink()
    second = index(cohort, label_table()).table
    for column in ("file_id", "patient_id", "study_id"):
        assert not set(first[column]) & set(second[column])


def test_pseudonyms_are_keyed_and_of_one_purpose():
    one, other = Pseudonyms(b"1" * 32), Pseudonyms(b"2" * 32)
    assert one.patient("x") == one.patient("x")
    assert len({one.patient("x"), one.study("x"), one.file_id("x"), other.patient("x"), one.patient("y")}) == 5


def test_private_files_are_for_the_owner_alone(cohort):
    still_open = index(cohort, label_table())
    assert set(os.listdir(cohort / "private")) == {"key", "files.parquet"}, "no name for what it works with"
    assert len(still_open.table) == 6
    assert stat.S_IMODE((cohort / "private").stat().st_mode) == 0o700
    for name in ("key", "files.parquet"):
        assert stat.S_IMODE((cohort / "private" / name).stat().st_mode) == 0o600


def test_file_names_and_stems_are_those_of_pathlib(tmp_path):
    files = FileTable(tmp_path)
    for name in ("i.dcm", ".hidden", "dot.", "two.dots.dcm", "none", "..", "..b.c", "ends.."):
        files.add_headers([(f"folder/{name}", "", None)])
        path = PurePosixPath(f"folder/{name}")
        read = files._database.execute("SELECT name, stem FROM header ORDER BY number DESC").fetchone()
        assert read == (path.name, path.stem)


def test_a_full_disk_is_told_as_any_other(tmp_path):
    files = FileTable(tmp_path)
    files._database.execute("PRAGMA max_page_count = 20")
    with pytest.raises(UserError, match="private folder, which cannot be written any more"), disk_errors():
        files.list_entries(Entry(f"folder/{number}") for number in range(10_000))


def test_what_is_written_while_sorting_lies_in_the_private_folder_without_a_name(tmp_path):
    files = FileTable(tmp_path / "private")
    files.list_entries(Entry(f"PATIENT{number * 7919 % 60_000:0200}") for number in range(60_000))  # 12 MB
    sorting = files.entries()
    assert set(next(iter(sorting))[0]) == set("PATIENT0")
    opened = [os.readlink(path) for path in Path("/proc/self/fd").iterdir() if os.path.lexists(path)]
    spilled = [name for name in opened if "etilqs" in name]
    assert len(spilled) >= 2, "the tables, and what is sorted"
    assert all(Path(name).parent == tmp_path / "private" and name.endswith(" (deleted)") for name in spilled)
    assert os.listdir(tmp_path / "private") == []


def test_a_damaged_key_is_not_replaced_in_silence(cohort):
    index(cohort, label_table())
    (cohort / "private" / "key").write_text("half")
    with pytest.raises(UserError, match="key in the cohort's private folder is damaged"):
        index(cohort, label_table())


def _open_key(folder):
    return Pseudonyms.open(folder).patient("x")


def test_jobs_that_race_for_the_key_agree(tmp_path):
    with multiprocessing.get_context("fork").Pool(4) as pool:
        assert len(set(pool.map(_open_key, [tmp_path / "private"] * 16))) == 1
    assert os.listdir(tmp_path / "private") == ["key"]


def test_new_files_do_not_move_old_ones_to_other_shards(cohort):
    before = index(cohort, label_table()).table.set_index("file_id")["shard"]
    save(ct(number=50), cohort / "in" / "new.dcm")
    after = index(cohort, label_table()).table.set_index("file_id")["shard"]
    assert (after.loc[before.index] == before).all()
    assert all(shard_of(file_id, 3) == shard for file_id, shard in after.items())


# Folders


def test_a_missing_or_empty_folder_is_a_clear_sentence(tmp_path):
    (tmp_path / "empty").mkdir()
    for name, word in (("absent", "does not exist"), ("empty", "is empty")):
        with pytest.raises(UserError, match=word) as error:
            walk(tmp_path / name)
        assert str(tmp_path) not in str(error.value)


def test_loops_of_links_end(cohort):
    (cohort / "in" / "s0" / "loop").symlink_to(cohort / "in", target_is_directory=True)
    (cohort / "in" / "self").symlink_to(cohort / "in" / "self")
    (cohort / "elsewhere").mkdir()
    save(ct(number=9), cohort / "elsewhere" / "far.dcm")
    (cohort / "in" / "linked").symlink_to(cohort / "elsewhere", target_is_directory=True)
    entries = {entry.path: entry.problem for entry in walk(cohort / "in")}
    assert len(entries) == 8
    assert entries["linked/far.dcm"] is None
    assert entries["self"] == Reason.CANNOT_OPEN


def test_of_two_ways_to_a_folder_the_first_by_name_counts(cohort):
    for name in ("images", "a", "z"):
        (cohort / "two" / name).parent.mkdir(exist_ok=True)
        (cohort / "two" / name).symlink_to(cohort / "in" / "s0", target_is_directory=True)
    assert {entry.path.split("/")[0] for entry in walk(cohort / "two")} == {"a"}


@pytest.mark.parametrize("value", ["1e300", "1e19", "-1e19"])
def test_a_number_beyond_all_measure_is_a_row(cohort, value):
    dataset = ct(number=20)
    del dataset.BitsStored
    dataset.add_new(0x00280101, "DS", value)
    save(dataset, cohort / "in" / "huge.dcm")
    labels = pd.concat([label_table(), label_table().iloc[:1].assign(uid=dataset.SOPInstanceUID)])
    assert index(cohort, labels).reasons[Reason.BITS.value] == 1


def test_a_name_that_is_no_utf8_is_a_row(cohort):
    try:
        (cohort / "in" / os.fsdecode(b"M\xfcller.dcm")).write_bytes(b"x")
    except OSError:
        pytest.skip("this file system takes UTF-8 names only")
    table = index(cohort, label_table()).table
    assert (table["reason"] == Reason.NAME.value).sum() == 1


@pytest.fixture
def as_ordinary_user(cohort):
    """A copy of the cohort that belongs to an ordinary user, and that user at work: root reads everything."""
    with tempfile.TemporaryDirectory() as home:
        copied = Path(shutil.copytree(cohort, Path(home, "cohort")))
        if os.geteuid() != 0:
            yield copied
            return
        for path in (Path(home), copied, *copied.rglob("*")):
            os.chown(path, NOBODY, NOBODY)
        os.seteuid(NOBODY)
        try:
            yield copied
        finally:
            os.seteuid(0)


def test_what_may_not_be_read_is_a_row(as_ordinary_user):
    cohort = as_ordinary_user
    (cohort / "in" / "s0" / "i0.dcm").chmod(0)
    (cohort / "in" / "s1").chmod(0)
    reasons = index(cohort, label_table()).table["reason"].value_counts()
    (cohort / "in" / "s1").chmod(0o700)
    assert reasons[Reason.CANNOT_OPEN.value] == 1
    assert reasons[Reason.FOLDER_LOCKED.value] == 1


def test_the_inventory_sees_every_change(cohort):
    private = cohort / "private"
    digest = inventory_digest(cohort / "in", private, refresh=True)
    assert digest == inventory_digest(cohort / "in", private, refresh=True)
    path = cohort / "in" / "s0" / "i0.dcm"
    os.utime(path, ns=(1, 1))
    touched = inventory_digest(cohort / "in", private, refresh=True)
    path.rename(path.with_name("renamed.dcm"))
    renamed = inventory_digest(cohort / "in", private, refresh=True)
    assert len({digest, touched, renamed}) == 3
    assert stat.S_IMODE((private / "inventory.json").stat().st_mode) == 0o600
    assert str(cohort) not in (private / "inventory.json").read_text()


def test_what_has_changed_since_the_index_is_told(cohort):
    folder, private = cohort / "in", cohort / "private"
    first = inventory_digest(folder, private, refresh=True)
    assert changes_since_index(private, "study", first) == ""  # never indexed: nothing to say
    note_indexed(private, "study", first)
    note_indexed(private, "other", "1-0")
    assert changes_since_index(private, "study", first) == ""
    assert changes_since_index(private, "other", first).endswith("files lie where 1 lay")
    os.utime(folder / "s0" / "i0.dcm", ns=(1, 1))
    touched = inventory_digest(folder, private, refresh=True)
    assert changes_since_index(private, "study", touched) == "files or tables have changed"
    (folder / "more.dcm").write_bytes(b"")
    before = first.split("-")[0]
    more = inventory_digest(folder, private, refresh=True)
    assert changes_since_index(private, "study", more) == f"{int(before) + 1} files lie where {before} lay"
    assert stat.S_IMODE((private / "indexed.json").stat().st_mode) == 0o600


def test_jobs_take_the_kept_inventory(cohort):
    private = cohort / "private"
    digest = inventory_digest(cohort / "in", private, refresh=True)
    os.utime(cohort / "in" / "s0" / "i0.dcm", ns=(1, 1))
    assert inventory_digest(cohort / "in", private, refresh=False) == digest
    assert inventory_digest(cohort / "other", private, refresh=False) == "absent"


# The share of rejected files


def test_too_many_rejected_files_stop_the_run(cohort):
    for number in range(3):
        (cohort / "in" / f"junk{number}").write_text("junk")
    reasons = index(cohort, label_table()).reasons
    with pytest.raises(UserError, match=r"3 of 9 files \(33\.3%\).*ingest\.maximum_rejected.*3 × not a DICOM file"):
        check_rejected(reasons, 0.3)
    check_rejected(reasons, 1 / 3)


def test_nothing_accepted_stops_the_run_whatever_the_limit(cohort):
    reasons = index(cohort, label_table(), smallest=64).reasons
    with pytest.raises(UserError, match="no file was accepted"):
        check_rejected(reasons, 1)
