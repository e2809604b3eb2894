"""Building a reader study: what is chosen, in which order, what is sealed, and what is never overwritten."""

import runpy
import shutil
import stat
from contextlib import closing
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from pydantic import ValidationError
from scipy import stats

from synthcohort.core.errors import UserError
from synthcohort.core.reader_config import ReaderStudy
from synthcohort.core.store import Finding, ImageStore, StoreInfo, write_store
from synthcohort.readers.answers import ANSWERS, Answer, AnswerBook, has_answers
from synthcohort.readers.build import build_reader_study, free_id
from synthcohort.readers.desk import Desk
from synthcohort.readers.key import AnswerKey
from synthcohort.readers.order import reading_order
from synthcohort.readers.pictures import Pictures, enlarge, write_pictures
from synthcohort.readers.power import describe_power, planned_power
from synthcohort.readers.results import answered_studies, read_results
from synthcohort.readers.select import READING, REAL, SYNTHETIC, TRAINING, Cell, choose_items
from synthcohort.readers.study import STUDY, ServedStudy, locked

made_up = SimpleNamespace(**runpy.run_path(str(Path(__file__).parents[1] / "fabricated_readers.py")))

EVIDENCE = Path(__file__).parents[2] / "docs/evidence/readers.csv"


def store(folder: Path, labels: list[list[int]], patients: list[str], prefix: str = "i", side: int = 8) -> ImageStore:
    """A store of blank images with two findings."""
    records = pd.DataFrame(np.array(labels, float), columns=["f0", "f1"])
    records.insert(0, "image_id", [f"{prefix}{number}" for number in range(len(labels))])
    records.insert(1, "patient_id", patients)
    info = StoreInfo(
        cohort="toy", findings=[Finding(name=name, display=name) for name in ("f0", "f1")], units="HU",
        windows=[(0, 80)], resolution=side, channels=1, images=len(labels), simulated=True,
    )  # fmt: skip
    write_store(folder, [np.zeros((len(labels), 1, side, side), np.uint8)], records, info)
    return ImageStore(folder)


def one_cell(folder: Path, real: ImageStore, synthetic: ImageStore, side: Any = "test", name: str = "r3-gan") -> Cell:
    rows = pd.DataFrame({"row": np.arange(len(real)), "patient_id": real.records["patient_id"], "side": side})
    return Cell("toy", "resolution-008", name, real, rows, synthetic)


@pytest.fixture(scope="module")
def cells(tmp_path_factory: pytest.TempPathFactory) -> list[Cell]:
    return made_up.cells(tmp_path_factory.mktemp("cells"))


def built(folder: Path, cells: list[Cell], seed: int = 7, **changes: Any) -> dict[str, Any]:
    config = ReaderStudy(**({"count": 2, "images": 3, "repeated": 2, "side": 64} | changes))
    return build_reader_study("toy", cells, config, seed, folder / "home", folder / "private")


def key_of(folder: Path, told: dict[str, Any]) -> pd.DataFrame:
    return AnswerKey(folder / "private", told["id"], told["digest"]).open()


def test_real_and_synthetic_images_are_as_many_with_the_same_labels(cells: list[Cell]) -> None:
    items = choose_items(cells, ReaderStudy(images=12, repeated=6, training=10), seed=1)
    assert (items.groupby(["block", "cell", "truth"]).size()[READING] == 12).all()
    assert items.groupby(["block", "truth"]).size()[TRAINING].to_dict() == {REAL: 5, SYNTHETIC: 5}
    counts = items.groupby(["block", "cell", "combination", "truth"]).size().unstack(fill_value=0)
    assert (counts[REAL] == counts[SYNTHETIC]).all()
    for item in items.itertuples():
        source = cells[item.cell].real if item.truth == REAL else cells[item.cell].synthetic
        positive = source.info.finding_names
        row = source.records.iloc[item.row]
        assert item.image_id == row["image_id"]
        assert "+".join(name for name in positive if row[name] == 1) == item.combination


def test_real_images_are_of_test_patients_and_none_stands_twice(cells: list[Cell]) -> None:
    items = choose_items(cells, ReaderStudy(images=12, repeated=0, training=4), seed=1)
    own = items[items["truth"] == REAL]
    assert not own.duplicated(["cohort", "image_id"]).any()
    assert not items.duplicated(["cell", "truth", "row"]).any()
    for item in own.itertuples():
        rows = cells[item.cell].selection.set_index("row")
        assert rows.at[item.row, "side"] == "test"


def test_no_patient_is_shown_twice_before_every_other(tmp_path: Path) -> None:
    # Five patients with three images each, all alike: five images are of five patients, the sixth of anyone.
    patients = [f"p{number // 3}" for number in range(15)]
    real = store(tmp_path / "real", [[1, 0]] * 15, patients)
    made = store(tmp_path / "made", [[1, 0]] * 40, ["s"] * 40, "s")
    both = [one_cell(tmp_path, real, made, name=name) for name in ("cpd-gan", "r3-gan")]
    items = choose_items(both, ReaderStudy(images=5, repeated=0), seed=3)
    shown = real.records["patient_id"].iloc[items.loc[items["truth"] == REAL, "row"]]
    assert sorted(shown.value_counts()) == [2] * 5
    assert shown.iloc[:5].nunique() == 5


def test_images_with_unknown_labels_are_left_out(tmp_path: Path) -> None:
    labels = [[1, 0], [1, np.nan], [0, 0], [0, 1]]
    real = store(tmp_path / "real", labels, list("abcd"))
    made = store(tmp_path / "made", [[1, np.nan], [1, 0], [0, 0]], ["s"] * 3, "s")
    items = choose_items([one_cell(tmp_path, real, made)], ReaderStudy(images=2, repeated=0), seed=0)
    assert sorted(items.loc[items["truth"] == REAL, "image_id"]) == ["i0", "i2"]
    assert sorted(items.loc[items["truth"] == SYNTHETIC, "image_id"]) == ["s1", "s2"]


def test_too_few_images_are_told_with_the_number_that_works(tmp_path: Path) -> None:
    real = store(tmp_path / "real", [[1, 0]] * 9, [f"p{number}" for number in range(9)])
    made = store(tmp_path / "made", [[1, 0]] * 40, ["s"] * 40, "s")
    both = [one_cell(tmp_path, real, made, name=name) for name in ("cpd-gan", "r3-gan")]
    with pytest.raises(UserError, match=r"readers\.images.* at most 4 work here"):
        choose_items(both, ReaderStudy(images=5, repeated=0), seed=0)
    with pytest.raises(UserError, match="not even one pair"):
        choose_items([one_cell(tmp_path, real, made, side="train")], ReaderStudy(images=5, repeated=0), seed=0)


def test_repeated_items_are_half_real_and_from_all_cells(cells: list[Cell]) -> None:
    items = choose_items(cells, ReaderStudy(images=10, repeated=8), seed=5)
    repeated = items[items["repeated"]]
    assert repeated.groupby("truth").size().to_dict() == {REAL: 4, SYNTHETIC: 4}
    assert (repeated.groupby(["truth", "cell"]).size() == 1).all()
    assert set(repeated["block"]) == {READING}


def test_reading_order_shows_all_and_repeats_late() -> None:
    repeated = np.array([3, 17, 29])
    for seed in range(50):
        order = reading_order(40, repeated, np.random.default_rng(seed))
        assert sorted(order) == sorted([*range(40), *repeated])
        for item in repeated:
            first, second = np.flatnonzero(order == item)
            assert second - first > (40 - 3) // 3
    assert sorted(reading_order(5, np.array([], np.int64), np.random.default_rng(0))) == list(range(5))


def test_position_says_nothing_about_the_truth(cells: list[Cell], tmp_path: Path) -> None:
    told = built(tmp_path, cells, images=10, repeated=8, count=60)
    key = key_of(tmp_path, told).query("block == 'reading'").set_index("picture")
    study = ServedStudy.read(tmp_path / "home" / told["id"])
    is_real = np.array([[key.at[picture, "truth"] == REAL for picture in reader.reading] for reader in study.readers])
    at_each = is_real.sum(axis=0)  # binomial (60, 0.5) at every position
    shares = stats.binom.cdf(at_each, 60, 0.5) - stats.binom.pmf(at_each, 60, 0.5) / 2
    assert stats.kstest(shares, "uniform").pvalue > 0.001
    alike, pairs = int((is_real[:, 1:] == is_real[:, :-1]).sum()), is_real[:, 1:].size
    assert stats.binomtest(alike, pairs, 43 / 87).pvalue > 0.001  # 88 in a row, 44 of each kind
    assert stats.mannwhitneyu(*(key.index[key["truth"] == kind] for kind in (REAL, SYNTHETIC))).pvalue > 0.001
    assert len({tuple(reader.reading) for reader in study.readers}) == 60


def test_enlarging_is_bicubic_and_alike_for_all() -> None:
    image = np.random.default_rng(0).integers(0, 256, (2, 16, 16)).astype(np.uint8)
    shown = enlarge(image, 64)
    assert shown.shape == (64, 64)
    assert np.array_equal(shown, np.asarray(Image.fromarray(image[0]).resize((64, 64), 3)))  # 3: bicubic
    assert np.array_equal(enlarge(image, 16), image[0])
    with pytest.raises(UserError, match=r"readers\.side.*at least 16"):
        enlarge(image, 8)


def test_pictures_are_the_same_number_of_bytes_and_checked(tmp_path: Path) -> None:
    images = [np.full((4, 4), value, np.uint8) for value in (0, 7, 255)]
    digest = write_pictures(tmp_path / "reading.bin", images)
    pictures = Pictures(tmp_path / "reading.bin", 4, digest)
    assert [pictures[number] for number in range(3)] == [image.tobytes() for image in images]
    pictures.close()
    (tmp_path / "reading.bin").write_bytes(b"x" * 48)
    with pytest.raises(UserError, match=r"reading\.bin is missing or was changed"):
        Pictures(tmp_path / "reading.bin", 4, digest)


def test_served_files_hold_no_truth_and_the_key_all_of_it(cells: list[Cell], tmp_path: Path) -> None:
    told = built(tmp_path, cells, training=4)
    folder = tmp_path / "home" / told["id"]
    assert sorted(path.name for path in folder.iterdir()) == [
        "lock",
        "reading.bin",
        "study.json",
        "training.bin",
        "training.json",
    ]
    served = (folder / STUDY).read_text()
    key = key_of(tmp_path, told)
    for secret in ["synthetic", "cpd-gan", "r3-gan", "resolution", "image-0", "combination"]:
        assert secret not in served.replace('"title": "Real or synthetic?"', "")
    reading = key[key["block"] == READING]
    assert sorted(reading["picture"]) == list(range(24))
    pixels = (folder / "reading.bin").read_bytes()
    for item in reading.itertuples():
        source = cells[item.cell].real if item.truth == REAL else cells[item.cell].synthetic
        expected = enlarge(np.asarray(source.images[item.row]), 64).tobytes()
        assert pixels[item.picture * 4096 : (item.picture + 1) * 4096] == expected


def test_key_lies_apart_opens_with_its_secret_and_shows_tampering(cells: list[Cell], tmp_path: Path) -> None:
    told = built(tmp_path, cells)
    key = AnswerKey(tmp_path / "private", "toy", told["digest"])
    sealed, secret = key.path, key.secret
    assert {stat.S_IMODE(path.stat().st_mode) for path in (sealed, secret)} == {0o600}
    assert stat.S_IMODE(secret.parent.stat().st_mode) == 0o700
    assert tmp_path / "home" not in sealed.parents
    original = sealed.read_bytes()
    sealed.write_bytes(original[:200] + (b"A" if original[200:201] != b"A" else b"B") + original[201:])
    with pytest.raises(UserError, match="answer key was changed"):
        key_of(tmp_path, told)
    sealed.write_bytes(original)
    other = AnswerKey(tmp_path / "private", "toy", told["digest"][:12] + "0" * 52)
    with pytest.raises(UserError, match="not of the same build"):
        other.open()
    secret.write_text("nonsense\n")
    with pytest.raises(UserError, match="answer key was changed"):
        key_of(tmp_path, told)
    secret.unlink()
    with pytest.raises(UserError, match=r"secret of its answer key is missing \(toy-[0-9a-f]{12}\.secret\)"):
        key_of(tmp_path, told)
    with pytest.raises(UserError, match=r"\.key is the key of another study, or its secret was lost"):
        built(tmp_path, cells)
    assert sealed.read_bytes() == original


def test_same_study_is_built_once_and_in_the_same_bytes(cells: list[Cell], tmp_path: Path) -> None:
    told = built(tmp_path / "a", cells)
    names = ["reading.bin", "study.json", "training.json"]
    folder = tmp_path / "a/home/toy"
    paths = [*(folder / name for name in names), AnswerKey(tmp_path / "a/private", "toy", told["digest"]).path]
    before = [path.stat().st_mtime_ns for path in paths]
    assert built(tmp_path / "a", cells) == told
    assert [path.stat().st_mtime_ns for path in paths] == before
    shutil.copytree(tmp_path / "a/private", tmp_path / "b/private")
    assert built(tmp_path / "b", cells) == told
    for name in names:
        assert (folder / name).read_bytes() == (tmp_path / "b/home/toy" / name).read_bytes()


def test_who_knows_seed_and_code_cannot_work_out_the_truth(cells: list[Cell], tmp_path: Path) -> None:
    # Building again with the same seed, but without the secret, is what a reader with the code could do.
    told, guessed = (built(tmp_path / name, cells, images=10) for name in "ab")
    truth, guess = (
        key_of(tmp_path / name, told).query("block == 'reading'").set_index("picture")["truth"].sort_index()
        for name, told in (("a", told), ("b", guessed))
    )
    assert stats.binomtest(int((truth == guess).sum()), len(truth)).pvalue > 0.001
    assert stats.mannwhitneyu(*(truth.index[truth == kind] for kind in (REAL, SYNTHETIC))).pvalue > 0.001


def test_unanswered_study_is_replaced_and_an_answered_one_never(cells: list[Cell], tmp_path: Path) -> None:
    built(tmp_path, cells)
    told = built(tmp_path, cells, images=4)
    assert told["id"] == "toy"
    folder = tmp_path / "home/toy"
    book = AnswerBook(folder / ANSWERS)
    assert not has_answers(folder)
    book.save_profile("reader-01", "radiologist", 3)
    book.close()
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    other = built(tmp_path, cells, images=5)
    assert other["id"] == "toy-2"
    assert {path.name: path.read_bytes() for path in folder.iterdir() if path.name in before} == before
    assert built(tmp_path, cells, images=4)["id"] == "toy"  # the answered one itself: there is nothing to build
    AnswerKey(tmp_path / "private", "toy", told["digest"]).path.unlink()  # its key cannot be made again
    assert built(tmp_path, cells, images=4)["id"] == "toy-2"


def test_answers_given_elsewhere_are_read_though_the_study_was_built_anew(cells: list[Cell], tmp_path: Path) -> None:
    first = built(tmp_path, cells)
    home, private = tmp_path / "home", tmp_path / "private"
    away = shutil.copytree(home / "toy", tmp_path / "away/toy")
    before = key_of(tmp_path, first)
    second = built(tmp_path, cells, images=4)  # nothing here tells of the copy
    assert second["id"] == "toy"
    pd.testing.assert_frame_equal(key_of(tmp_path, first), before)
    with closing(Desk(away)) as desk:
        picture = desk.study.reader("reader-01").reading[0]
        desk.book.save_profile("reader-01", "radiologist", 3)
        desk.book.save_answer(Answer("reader-01", "reading", 1, picture, True, 4, "0" * 32))
    shutil.copy(away / ANSWERS, home / "toy" / ANSWERS)
    for open_study in (lambda: read_results("toy", home, private), lambda: Desk(home / "toy")):
        with pytest.raises(UserError, match=r"to another build.*bring the whole folder"):
            open_study()
    shutil.rmtree(home / "toy")
    shutil.copytree(away, home / "toy")
    (row,) = read_results("toy", home, private).to_dict("records")
    truth = before.query("block == 'reading'").set_index("picture").at[picture, "truth"]
    assert (row["truth"], row["correct"]) == (truth, truth == SYNTHETIC)
    assert built(tmp_path, cells, images=4)["id"] == "toy-2"
    assert answered_studies("toy", home) == {"toy": 1}


def test_links_of_readers_who_are_left_out_end(cells: list[Cell], tmp_path: Path) -> None:
    for count in (3, 2):
        told = built(tmp_path, cells, count=count)
        assert told["id"] == "toy"
        with closing(Desk(tmp_path / "home/toy")) as desk:
            links = desk.sessions.issue_links(desk.names)
            if count == 3:
                third = links["reader-03"]
            else:
                assert links == {}
                assert desk.sessions.open(third) is None


def test_what_is_served_is_its_owners_alone(cells: list[Cell], tmp_path: Path) -> None:
    built(tmp_path, cells, training=2)
    folder = tmp_path / "home/toy"
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    served = [path for path in folder.iterdir() if path.name != "lock"]
    assert {path.name: stat.S_IMODE(path.stat().st_mode) for path in served} == {path.name: 0o600 for path in served}


def test_images_of_one_patient_are_sealed_as_such(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    patients = [f"p{number // 3}" for number in range(15)]
    real = store(tmp_path / "real", [[1, 0]] * 15, patients)
    made = store(tmp_path / "made", [[1, 0]] * 40, ["s"] * 40, "s")
    both = [one_cell(tmp_path, real, made, name=name) for name in ("cpd-gan", "r3-gan")]
    with caplog.at_level("WARNING"):
        told = built(tmp_path, both, images=5)
    assert told["patients"] == 5
    assert "the 10 real images are of 5 patients" in caplog.text
    key = key_of(tmp_path, told)
    own = key[key["truth"] == REAL]
    of_row = own.groupby("row")["group"].first()
    assert own["group"].nunique() == 5
    assert all((of_row[a] == of_row[b]) == (patients[a] == patients[b]) for a in of_row.index for b in of_row.index)
    made_up_ones = key.loc[key["truth"] == SYNTHETIC, "group"]
    assert made_up_ones.nunique() == 10
    assert not set(made_up_ones) & set(own["group"])


def test_another_studys_folder_and_unreadable_answers_are_left_alone(cells: list[Cell], tmp_path: Path) -> None:
    built(tmp_path, cells)
    config = ReaderStudy(images=2, repeated=0, side=64)
    other = build_reader_study("toy-2", cells, config, 7, tmp_path / "home", tmp_path / "private")
    book = AnswerBook(tmp_path / "home/toy" / ANSWERS)
    book.save_profile("reader-01", "radiologist", 3)
    book.close()
    assert other["id"] == "toy-2"
    assert built(tmp_path, cells, images=4)["id"] == "toy-3"
    (tmp_path / "home/toy-3" / ANSWERS).write_bytes(b"no database, but perhaps someone's answers")
    with pytest.raises(UserError, match=r"toy-3: answers\.sqlite cannot be used"):
        free_id("toy", "another", tmp_path / "home", tmp_path / "private")


def test_study_that_is_served_is_not_rebuilt(cells: list[Cell], tmp_path: Path) -> None:
    built(tmp_path, cells)
    with locked(tmp_path / "home/toy"), pytest.raises(UserError, match="is being served"):
        built(tmp_path, cells, images=4)


def test_power_agrees_with_a_simulation() -> None:
    readers, images, margin, deviation = 8, 60, 0.1, 0.05
    power = planned_power(readers, images, margin, reader_deviation=deviation, image_correlation=0.1)
    rng = np.random.default_rng(0)

    def accuracies(mean: float) -> np.ndarray:
        """Pooled accuracy of 4000 studies whose answers have the assumed variance components."""
        of_reader = rng.normal(0, deviation, (4000, readers, 1))
        of_image = rng.normal(0, np.sqrt(0.1) * 0.5, (4000, 1, images))
        chance = np.clip(mean + of_reader + of_image, 0, 1)
        return (rng.random(chance.shape) < chance).mean(axis=(1, 2))

    error = np.sqrt(0.25 / power.effective)
    assert accuracies(0.5).std() == pytest.approx(error, rel=0.05)
    # With the true variance known, it would be found a little more often than is planned with.
    inside = np.abs(accuracies(0.5) - 0.5) < margin - stats.norm.ppf(0.95) * error
    assert inside.mean() - 0.08 < power.equivalence < inside.mean()
    found = np.abs(accuracies(0.5 + margin) - 0.5) > stats.norm.ppf(0.975) * error
    assert found.mean() - 0.08 < power.detection < found.mean()


def test_power_is_what_simulated_studies_find() -> None:
    """Of 1000 studies of each size, analysed as real ones are; their readers differ about as power assumes."""
    found = pd.read_csv(EVIDENCE).query("spread == 'default'").set_index(["readers", "images", "accuracy"])
    for readers, images in ((3, 24), (6, 24), (6, 120), (12, 240)):
        power = planned_power(readers, images, 0.1)
        assert power.equivalence == pytest.approx(found.at[(readers, images, 0.5), "equivalent"], abs=0.06)
        assert power.detection == pytest.approx(found.at[(readers, images, 0.6), "not_chance"], abs=0.03)


def test_power_of_very_many_readers_is_the_binomials() -> None:
    power = planned_power(400, 5, 0.03, reader_deviation=0, image_correlation=0)
    assert power.effective == pytest.approx(2000)
    error = np.sqrt(0.25 / 2000)
    assert power.equivalence == pytest.approx(1 - 2 * stats.norm.sf(0.03 / error - stats.norm.ppf(0.95)), abs=0.005)
    assert planned_power(3, 10, 0.05).equivalence < 0.05  # so few answers can hardly ever show equivalence
    two = planned_power(2, 1000, 0.2)
    assert (two.equivalence, two.detection) == (0, 0)  # the analysis has no test over two readers
    lines = describe_power(planned_power(5, 80, 0.1), planned_power(5, 20, 0.1), parts=4)
    assert lines[0].startswith("All images together: 5 readers × 80 images. Power 0.57 to show")
    assert len(lines) == 3
    assert len(describe_power(power, power, parts=1)) == 2


def test_build_tells_its_size(cells: list[Cell], tmp_path: Path) -> None:
    told = built(tmp_path, cells, count=5, images=3, repeated=2)
    assert (told["readers"], told["items"], told["positions"], told["simulated"]) == (5, 24, 26, True)
    assert told["power"]["all"]["images"] == 24
    assert told["power"]["each_cell"]["images"] == 6


def test_config_keeps_repeats_few() -> None:
    with pytest.raises(ValidationError, match="at most as many as images"):
        ReaderStudy(images=3, repeated=4)
    with pytest.raises(ValidationError):
        ReaderStudy(repeated=3)
