"""Words of the privacy audit that figures and the gate read; nothing heavy is imported, so that torch is not loaded."""

from collections.abc import Mapping
from typing import Any

CLOSEST_RECORD, CALIBRATED, DENSITY_RATIO = "closest_record", "calibrated_distance", "density_ratio"
"""Attacks on a synthetic cohort, see `measures.attack_scores`."""
DISCRIMINATOR, SHADOWS = "discriminator", "shadow_generators"
"""Attacks that need more than the synthetic cohort: the training's discriminator (LOGAN), shadow generators (LiRA)."""
VERIFIER, VERIFICATION = "verifier", "verification_auroc"
"""A network that knows patients again: the space of its features, and the metric of how well it does (`verifier`)."""
IMAGE, PATIENT = "image", "patient"
"""What an attacker decides about."""
THIRD_GROUP, HALVES = "third_group", "halves"
"""Negative controls: replayed patients who are neither members nor attacked; non-members against each other."""
FIND_COPIES = (CLOSEST_RECORD, CALIBRATED, SHADOWS)
"""Attacks that must catch replayed training images; the density ratio sees regions drawn too often, not copies."""
CANARIES = "canaries_found"
"""Metric: synthetic images that show a canary, in studies that planted some (`measures.canaries`)."""
CAUGHT = 0.95
"""AUROC that an attack must reach on the positive control, replayed training images."""
CHANCE_MARGIN = 0.1
"""How far from 0.5 the AUROC on a negative control may lie where `ENOUGH` are attacked."""
ENOUGH = 100
"""Non-members from which on `CHANCE_MARGIN` is 2.4 standard errors or more, if there are as many members."""
IN_ORDER, TOO_FEW = "in order", "too few to tell"
MISSES_COPIES, FALSE_ALARM = "misses copies", "alarms over nothing"
OUT_OF_ORDER = "out of order: "


def guarantee_text(privacy: Mapping[str, Any]) -> str:
    """Write what a private training guarantees, from generator.json's ``privacy``: ``ε = 9.99, δ = 0.0001 for …``."""
    return f"ε = {privacy['epsilon']:.3g}, δ = {privacy['delta']:.0e} for each of {privacy['patients']} patients"


def describe_controls(attack: str, replayed: float, silent: Mapping[str, tuple[float, float]]) -> str:
    """Say whether an attack's controls are in order.

    Parameters
    ----------
    attack : str
        Its name.
    replayed : float
        AUROC on replayed training images; NaN where the attack cannot be tried on them.
    silent : mapping of str to tuple of float
        AUROC and number of non-members of each negative control that was tried.

    Returns
    -------
    str
        `IN_ORDER`, `TOO_FEW`, or `OUT_OF_ORDER` and why: the attack is blind (`MISSES_COPIES`), or a control in which
        enough are attacked alarms (`FALSE_ALARM`).
    """
    known = [value for value, count in silent.values() if count >= ENOUGH]
    faults = [MISSES_COPIES] if attack in FIND_COPIES and not replayed >= CAUGHT else []
    faults += [FALSE_ALARM] if any(not abs(value - 0.5) <= CHANCE_MARGIN for value in known) else []
    if faults:
        return OUT_OF_ORDER + " and ".join(faults)
    return IN_ORDER if known else TOO_FEW


def attack_parameter(attack: str, unit: str, control: str = "", rate: float | None = None) -> str:
    """Name one figure of an attack in the column ``parameter``: ``closest_record/patient``, ``…/halves/0.01``.

    Parameters
    ----------
    attack : str
        An attack's name.
    unit : str
        `IMAGE` or `PATIENT`.
    control : str
        Which negative control, elsewhere empty.
    rate : float, optional
        The false positive rate of a true positive rate.
    """
    parts = [attack, unit, control, "" if rate is None else f"{rate:g}"]
    return "/".join(part for part in parts if part)


def split_attack_parameter(parameter: str) -> tuple[str, str, str, str]:
    """Take apart what `attack_parameter` made: attack, unit, control and rate as text, empty where there is none."""
    attack, unit, *rest = parameter.split("/")
    control = rest.pop(0) if rest and rest[0] in (THIRD_GROUP, HALVES) else ""
    return attack, unit, control, "".join(rest)


def attack_title(parameter: str, features: str) -> str:
    """Name an attack for people: ``closest record in pixels, patients``."""
    attack, unit, *_ = split_attack_parameter(parameter)
    name = attack.replace("_", " ")
    if features == attack:
        return f"{name}, {unit}s"
    if features == "pixels":
        return f"{name} in pixels, {unit}s"
    return f"{name} in the {VERIFIER if features.startswith(VERIFIER) else 'judge'}’s features, {unit}s"
