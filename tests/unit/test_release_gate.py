"""The gate before a release: each figure can close it, and an override leaves its trace."""

import logging

import numpy as np
import pandas as pd
import pytest
from pydantic import ValidationError

from release_cases import JUDGE, attack, change, figure, metrics, release, rows_of, subject
from synthcohort.audit.privacy_vocabulary import SHADOWS, attack_parameter, split_attack_parameter
from synthcohort.core.config import Statistics
from synthcohort.core.errors import UserError
from synthcohort.core.release_config import Gate
from synthcohort.release.gate import check_figures, check_gate, loosened, pass_gate

REASON = "The head of the data office decided so on 2026-01-02."
RATE = "true positive rate at 1% false positives"
UNKNOWN = {"value": np.nan, "ci_low": np.nan, "ci_high": np.nan}


IMAGES, PATIENTS = "closest record in pixels, images", "closest record in pixels, patients"


def failures(table, **gate):
    return check_figures(table, release(gate=gate))


def test_figures_in_order_pass(tmp_path):
    assert failures(metrics()) == []
    assert pass_gate(subject(tmp_path)) == []


@pytest.mark.parametrize(
    ("study", "sentence"),
    [
        ({"statistics": Statistics(confidence=0.501)}, "the audit's intervals have a confidence of 0.501, not of 0.95"),
        # The true positive rate is judged by the lower end, which a wider interval moves down.
        ({"statistics": Statistics(confidence=0.999)}, "the audit's intervals have a confidence of 0.999, not of 0.95"),
        ({"statistics": Statistics(bootstrap=999)}, "the audit's intervals are of 999 resamples, fewer than 1000"),
        (
            {"copied_labels": True},
            "the synthetic images have the labels of patients, one for one (protocol.copy_labels)",
        ),
        ({"combination_patients": 4}, "a label combination is that of 4 training patients, fewer than 5"),
    ],
)
def test_the_study_itself_can_close_the_gate(tmp_path, study, sentence):
    assert check_gate(subject(tmp_path / "a", **study)) == [sentence]
    with pytest.raises(UserError, match="may not leave"):
        pass_gate(subject(tmp_path / "b", **study))


@pytest.mark.parametrize("name", ["closest_record", "discriminator"])
@pytest.mark.parametrize("unit", ["image", "patient"])
@pytest.mark.parametrize("control", ["", "third_group", "halves"])
@pytest.mark.parametrize("rate", [None, 0.001, 0.01, 0.1])
def test_a_parameter_is_taken_apart_as_it_was_made(name, unit, control, rate):
    parts = split_attack_parameter(attack_parameter(name, unit, control, rate))
    assert parts == (name, unit, control, "" if rate is None else str(rate))


def test_the_thresholds_are_those_that_were_agreed_on():
    assert Gate().model_dump() == {"attack_auroc": 0.6, "attack_tpr": 0.02, "combination_patients": 5}


def test_the_ends_of_intervals_decide_and_not_the_values():
    gate = Gate()
    table = change(metrics(), "closest_record/image", value=0.599, ci_high=gate.attack_auroc)
    table = change(table, "closest_record/image/0.01", value=0.5, ci_low=gate.attack_tpr)
    assert failures(table) == []
    table = change(table, "closest_record/image", value=0.5, ci_high=gate.attack_auroc + 1e-3)
    assert failures(table) == [f"{IMAGES}: the AUROC's interval ends at 0.601, above 0.6"]
    table = change(metrics(), "closest_record/patient/0.01", ci_low=gate.attack_tpr + 1e-3)
    assert failures(table) == [f"{PATIENTS}: the interval of the {RATE} begins at 0.021, above 0.02"]


@pytest.mark.parametrize(("features", "words"), [(JUDGE, "in the judge’s features"), ("pixels", "in pixels")])
def test_every_space_counts(features, words):
    table = change(metrics(), "closest_record/image", features=features, ci_high=0.7)
    assert failures(table) == [f"closest record {words}, images: the AUROC's interval ends at 0.700, above 0.6"]


def test_an_attack_that_not_every_audit_makes_counts_where_it_was_made():
    table = metrics()
    extra = table[table["parameter"].str.startswith("closest_record/") & (table["features"] == JUDGE)].copy()
    extra["parameter"] = extra["parameter"].str.replace("closest_record", "shadow_generators")
    extra.loc[extra["role"] == "value", "ci_high"] = 0.9
    table = pd.concat([table, extra], ignore_index=True)
    found = failures(table)
    assert (
        found[0] == "shadow generators in the judge’s features, images: the AUROC's interval ends at 0.900, above 0.6"
    )
    assert len(found) == 2


def test_rates_other_than_one_percent_do_not_decide():
    for rate in ("0.1", "0.001"):
        assert failures(change(metrics(), f"closest_record/image/{rate}", value=0.9, ci_low=0.8, ci_high=1)) == []


@pytest.mark.parametrize(
    ("parameter", "words"),
    [("closest_record/image", "the AUROC"), ("closest_record/image/0.01", f"the {RATE}")],
)
def test_what_is_not_known_fails(parameter, words):
    sentence = f"{IMAGES}: {words} is not resolvable"
    assert failures(change(metrics(), parameter, **UNKNOWN)) == [f"{sentence} with n = 1200"]
    # A value without an interval is no better, nor an interval without a value.
    assert failures(change(metrics(), parameter, ci_low=np.nan, ci_high=np.nan)) == [f"{sentence} with n = 1200"]
    assert failures(change(metrics(), parameter, value=np.nan)) == [f"{sentence} with n = 1200"]
    table = metrics()
    assert failures(table[~rows_of(table, parameter)]) == [sentence]


def test_an_attack_that_was_not_made_fails():
    table = metrics()
    for name, features, title in (
        ("density_ratio", JUDGE, "density ratio in the judge’s features"),
        ("discriminator", "discriminator", "discriminator"),
        ("calibrated_distance", "pixels", "calibrated distance in pixels"),
    ):
        left_out = table["parameter"].str.startswith(f"{name}/") & (table["features"] == features)
        expected = [f"{title}, {unit}: not measured" for unit in ("images", "patients")]
        assert failures(table[~left_out]) == expected


def test_an_audit_without_one_space_fails():
    table = metrics()
    left_out = failures(table[table["features"] != "pixels"])
    assert len(left_out) == 4
    assert all(" in pixels, " in line and line.endswith("not measured") for line in left_out)


def test_shadows_that_the_study_asks_for_must_be_there_and_find_copies():
    table = metrics()
    missing = check_figures(table, release(), shadows=4)
    spaces, units = ("in the judge’s features", "in pixels"), ("images", "patients")
    assert missing == [f"shadow generators {space}, {unit}: not measured" for space in spaces for unit in units]
    rows = [row for space in (JUDGE, "pixels") for unit in ("image", "patient") for row in attack(SHADOWS, unit, space)]
    table = pd.concat([table, pd.DataFrame(rows)], ignore_index=True)
    assert check_figures(table, release(), shadows=4) == []
    own = table["parameter"].eq("shadow_generators/image") & table["role"].eq("positive_control")
    table.loc[own, "value"] = 0.6
    assert check_figures(table, release(), shadows=4) == [
        "shadow generators, images: replayed training images are caught with an AUROC of 0.600, below 0.95"
    ]


def test_patients_with_several_studies_ask_for_a_verifier():
    """Where there is none, its row says so; where there is one, its attacks must be there and count."""
    table, known = metrics(), {"source": "real", "features": "verifier (small)"}
    untrained = pd.DataFrame([figure("verification_auroc", np.nan, np.nan, np.nan, **known, n=7)])
    assert failures(pd.concat([table, untrained], ignore_index=True)) == [
        "re-identification: not resolvable with n = 7 patients with several studies"
    ]
    rows = [figure("verification_auroc", 0.9, 0.8, 1, **known)]
    trained = pd.concat([table, pd.DataFrame(rows)], ignore_index=True)
    assert len(failures(trained)) == 6
    assert "closest record in the verifier’s features, images: not measured" in failures(trained)
    for name in ("closest_record", "calibrated_distance", "density_ratio"):
        rows += [row for unit in ("image", "patient") for row in attack(name, unit, "verifier (small)")]
    trained = pd.concat([table, pd.DataFrame(rows)], ignore_index=True)
    assert failures(trained) == []
    linked = change(trained, "closest_record/patient", features="verifier (small)", ci_high=0.7)
    sentence = "closest record in the verifier’s features, patients: the AUROC's interval ends at 0.700, above 0.6"
    assert failures(linked) == [sentence]


def test_an_attack_that_works_upside_down_fails():
    """If it is sure to: below 0.5 by chance, or by little, it is of no use to anybody."""
    table = metrics()
    for low, high in ((0.3, 0.51), (0.41, 0.49)):
        assert failures(change(table, "closest_record/image", value=low, ci_low=low, ci_high=high)) == []
    upside_down = change(table, "closest_record/image", value=0.3, ci_low=0.25, ci_high=0.35)
    turned = "ends below 0.5 and begins at 0.250: turned round, the attack reaches 0.750, above 0.6"
    assert failures(upside_down) == [f"{IMAGES}: the AUROC's interval {turned}"]
    assert failures(upside_down, attack_auroc=0.75) == []


def test_without_an_audit_nothing_leaves():
    table = metrics()
    nothing = ["no membership attack was measured"]
    assert failures(table[~table["metric"].str.startswith("attack")]) == nothing
    # The figures of another run are no excuse, nor are the controls alone.
    assert failures(table.assign(replicate="r1")) == nothing
    assert check_figures(table, release(source="cpd-gan")) == nothing
    assert failures(table[table["role"] != "value"]) == nothing


def test_an_attack_that_misses_copies_proves_nothing():
    """It may miss them in one space, if it finds them in another; the density ratio need not find them."""
    spaces = ("pixels", JUDGE)
    name, words = "closest_record/image", "replayed training images are caught with an AUROC of"
    table = metrics()
    for features in spaces:
        assert failures(change(table, name, "positive_control", features, value=0.949)) == []
        assert failures(table[~rows_of(table, name, "positive_control", features)]) == []
    blind, unknown, missing = table, table, table
    for features, value in zip(spaces, (0.949, 0.9), strict=True):
        blind = change(blind, name, "positive_control", features, value=value)
        unknown = change(unknown, name, "positive_control", features, value=np.nan)
        missing = missing[~rows_of(missing, name, "positive_control", features)]
    assert failures(blind) == [f"closest record, images: {words} 0.949, below 0.95"]
    for lost in (unknown, missing):
        assert failures(lost) == [f"closest record, images: {words} an unknown number, below 0.95"]
    blind = table
    for features in spaces:
        blind = change(blind, "calibrated_distance/patient", "positive_control", features, value=0.5)
    assert failures(blind) == [f"calibrated distance, patients: {words} 0.500, below 0.95"]


@pytest.mark.parametrize("control", ["third_group", "halves"])
def test_an_attack_that_alarms_over_nothing_proves_nothing(control):
    name = f"density_ratio/image/{control}"
    for value in (0.4, 0.6):
        assert failures(change(metrics(), name, "negative_control", JUDGE, value=value)) == []
    nothing = f"where nothing is to be found ({control.replace('_', ' ')})"
    sentence = f"density ratio in the judge’s features, images: {nothing} the AUROC"
    for value in (0.399, 0.601):
        found = failures(change(metrics(), name, "negative_control", JUDGE, value=value))
        assert found == [f"{sentence} is {value}, not within 0.1 of 0.5"]
    table = metrics()
    for missing in (
        change(table, name, "negative_control", JUDGE, value=np.nan),
        table[~rows_of(table, name, "negative_control", JUDGE)],
    ):
        assert failures(missing) == [f"{sentence} is an unknown number, not within 0.1 of 0.5"]


def test_the_discriminator_has_no_replayed_images_but_halves():
    table = metrics()
    name = "discriminator/patient/halves"
    found = failures(table[~rows_of(table, name, "negative_control", "discriminator")])
    unknown = "where nothing is to be found (halves) the AUROC is an unknown number, not within 0.1 of 0.5"
    assert found == [f"discriminator, patients: {unknown}"]


def test_a_canary_closes_the_gate():
    for found, known in ((0.0, "0"), (2.0, "2"), (np.nan, "it is not known how many")):
        table = metrics()
        table.loc[len(table)] = figure("canaries_found", found, np.nan, np.nan)
        # A canary in the control that replays training images is as it should be.
        table.loc[len(table)] = figure("canaries_found", 5, np.nan, np.nan, role="positive_control")
        assert failures(table) == [
            f"canaries were planted, to test the audit, and {known} of the synthetic images show one"
        ]


def test_a_failed_gate_names_every_figure_and_the_run(tmp_path):
    table = change(metrics(), "closest_record/image", ci_high=0.7)
    table = change(table, "discriminator/patient", features="discriminator", ci_high=0.8)
    with pytest.raises(UserError, match=r"clinic resolution-016 r3-gan r0 may not leave.*0\.700, above 0\.6; .*0\.800"):
        pass_gate(subject(tmp_path, figures=table))


@pytest.fixture
def log(caplog, monkeypatch):
    monkeypatch.setattr(logging.getLogger("synthcohort"), "propagate", True)
    with caplog.at_level(logging.WARNING, "synthcohort"):
        yield caplog


def test_an_override_is_loud(log, tmp_path):
    table = change(metrics(), "closest_record/image", ci_high=0.7)
    assert len(pass_gate(subject(tmp_path, figures=table, override=REASON))) == 1
    assert REASON in log.text
    assert "0.700, above 0.6" in log.text


@pytest.mark.parametrize("reason", ["yes", " " * 40, "because we can"])
def test_an_override_needs_a_reason(reason):
    with pytest.raises(ValidationError, match="say who decided and why"):
        release(override=reason)


def test_thresholds_are_config_and_looser_ones_are_loud(log, tmp_path):
    table = change(metrics(), "closest_record/image", ci_high=0.62)
    assert len(failures(table)) == 1
    assert loosened(Gate()) == loosened(Gate(attack_auroc=0.55, attack_tpr=0.01, combination_patients=9)) == []
    assert pass_gate(subject(tmp_path / "a", figures=table, gate={"attack_auroc": 0.65})) == []
    assert "the gate is looser than its default: attack_auroc is 0.65, by default 0.6" in log.text
    assert pass_gate(subject(tmp_path / "b", combination_patients=3, gate={"combination_patients": 2})) == []
    assert "the gate is looser than its default: combination_patients is 2, by default 5" in log.text
    with pytest.raises(ValidationError):
        Gate(attack_auroc=0.4)
