"""Simulated patients, their scans and their lesions, as tables of numbers; nothing is drawn here.

Lengths are in millimetres, angles in radians, densities in Hounsfield units. `level` is the height of a slice above the
skull base on the scale of a head whose brain is 130 mm high, so that a structure has the same level in every patient.
"""

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtri

from synthcohort.phantoms.head.labels import DRAWS_PER_PATIENT, draw_lesions

NOMINAL_HEIGHT = 130.0
MOST_SLICES = 8
PATIENT_DRAWS = 120
Column = NDArray[np.float64]
Table = dict[str, Column]


class Dice:
    """Uniform numbers, handed out column by column: one number per patient at each call."""

    def __init__(self, uniform: NDArray[np.float64]) -> None:
        self._uniform, self._used = uniform, 0

    def uniform(self, low: float = 0.0, high: float = 1.0) -> Column:
        """Draw between `low` and `high`."""
        self._used += 1
        return low + (high - low) * self._uniform[:, self._used - 1]

    def normal(self, mean: float, deviation: float) -> Column:
        """Draw from a normal distribution, cut at 2.6 standard deviations."""
        return mean + deviation * np.clip(ndtri(np.clip(self.uniform(), 1e-9, 1 - 1e-9)), -2.6, 2.6)

    def lognormal(self, median: float, spread: float, low: float, high: float) -> Column:
        """Draw from a log-normal distribution, cut at `low` and `high`."""
        return np.clip(np.exp(self.normal(np.log(median), spread)), low, high)

    def chance(self, probability: float | Column) -> NDArray[np.bool_]:
        """Say True with `probability`."""
        return self.uniform() < probability

    def side(self) -> Column:
        """Pick left or right: −1 or 1."""
        return np.where(self.chance(0.5), 1.0, -1.0)

    def choice(self, values: tuple[float, ...], shares: tuple[float, ...]) -> Column:
        """Pick one of `values`, as often as its share."""
        edges = np.cumsum(shares) / np.sum(shares)
        return np.asarray(values)[np.searchsorted(edges[:-1], self.uniform(), side="right")]


def simulate(uniform: NDArray[np.float64], minimum_prevalence: float) -> Table:
    """Turn uniform numbers ``[patients, PATIENT_DRAWS]`` into one row of parameters per patient."""
    has = draw_lesions(uniform[:, :DRAWS_PER_PATIENT], minimum_prevalence)
    dice = Dice(uniform[:, DRAWS_PER_PATIENT:])
    table = _anatomy(dice) | _scan(dice)
    for part in (_epidural, _subdural, _intraparenchymal, _intraventricular, _subarachnoid):
        table |= part(dice, table)
    table |= {f"has_{name}": present.astype(np.float64) for name, present in has.items()}
    return table | _mass_effect(dice, table)


def _anatomy(dice: Dice) -> Table:
    """Draw the head as it is without a lesion."""
    male, age = dice.chance(0.54), np.clip(dice.normal(58, 19), 18, 95)
    size = dice.normal(1, 0.025) * np.where(male, 1.02, 0.97)
    atrophy = np.clip((age - 25) / 75 + dice.normal(0, 0.15), 0, 1)
    white = dice.normal(28, 1.3)
    return {
        "male": male.astype(np.float64),
        "age": np.floor(age),
        "half_length": size * dice.normal(81, 3),
        "half_width": size * dice.normal(65.5, 2.4),
        "height": size * dice.normal(130, 4),
        "egg": dice.normal(0.035, 0.018),
        "skew": dice.normal(0, 0.008),
        "pointed": dice.normal(0.0, 0.012),
        "square": dice.normal(-0.008, 0.008),
        "skull": dice.lognormal(6.6, 0.17, 4, 11),
        "scalp": dice.lognormal(5.5, 0.25, 2.5, 11),
        "atrophy": atrophy,
        "ventricles": np.clip((0.72 + 0.75 * atrophy) * np.exp(dice.normal(0, 0.16)), 0.5, 2.0),
        "sulcus": np.clip((0.35 + 1.9 * atrophy) * np.exp(dice.normal(0, 0.25)), 0.25, 3.2),
        "white": white,
        "gray": white + dice.normal(8.0, 1.1),
        "leukoaraiosis": np.clip(atrophy - 0.45 + dice.normal(0, 0.22), 0, 0.8),
        "folds": np.floor(dice.uniform(0, 2**31)),
        "pineal_calcified": dice.chance(0.6) * dice.uniform(0.4, 1),
        "choroid_calcified": dice.chance(0.55) * dice.uniform(0.3, 1),
        "ganglia_calcified": dice.chance(0.08) * dice.uniform(0.3, 1),
        "falx_calcified": dice.chance(0.10) * dice.uniform(0.3, 1),
        "infarct": dice.chance(0.05) * dice.side(),
        "infarct_angle": dice.uniform(-0.9, 1.1),
        "infarct_level": dice.uniform(45, 105),
        "sinus_air": dice.uniform(0.4, 1.2),
    }


def _scan(dice: Dice) -> Table:
    """Draw how the head lay in the scanner, and how the slices were reconstructed."""
    return {
        "field_mm": dice.uniform(208, 246),
        "rotation": dice.normal(0, 0.07),
        "pitch": dice.normal(0, 0.12),
        "roll": dice.normal(0, 0.045),
        "shift_x": dice.normal(0, 4),
        "shift_y": dice.normal(0, 4),
        "thickness_mm": dice.choice((5.0, 2.5, 1.25), (0.75, 0.18, 0.07)),
        "sharpness": dice.uniform(),
        "noise": dice.lognormal(2.9, 0.22, 1.6, 4.4),
        "beam": dice.uniform(0.2, 1.0),
        "offset": dice.normal(0, 1.0),
        "holder": dice.uniform(),
    }


def _epidural(dice: Dice, table: Table) -> Table:
    """Draw a lens at the inner table, most often temporal or parietal."""
    thickness = dice.lognormal(11, 0.42, 4, 30)
    return {
        "epidural_side": dice.side(),
        "epidural_angle": np.clip(dice.normal(0.05, 0.55), -1.25, 1.25),
        "epidural_thickness": thickness,
        "epidural_chord": thickness * dice.uniform(1.35, 2.5) + 7,
        "epidural_level": np.clip(dice.normal(66, 17), 38, 105),
        "epidural_reach": thickness * dice.uniform(1.2, 1.8) + 14,
        "epidural_hu": dice.normal(67, 5),
        "epidural_swirl": dice.chance(0.3) * dice.uniform(0.5, 1),
    }


def _subdural(dice: Dice, table: Table) -> Table:
    """Draw a crescent along the convexity; acute, subacute (as dense as the brain), chronic or mixed."""
    kind = dice.choice((0, 1, 2, 3), (0.62, 0.12, 0.14, 0.12))
    thickness = dice.lognormal(8, 0.45, 2.8, 24) * np.where(kind >= 2, 1.25, 1)
    both = dice.chance(np.where(kind >= 2, 0.3, 0.05)).astype(np.float64)
    thickness *= 1 - 0.3 * both
    acute, iso, old = dice.normal(63, 6), dice.normal(39, 4), dice.normal(20, 4)
    return {
        "subdural_side": dice.side(),
        "subdural_both": both,
        "subdural_angle": dice.normal(0.0, 0.35),
        "subdural_extent": dice.uniform(0.85, 1.5),
        "subdural_thickness": thickness,
        "subdural_level": np.clip(dice.normal(82, 15), 50, 112),
        "subdural_reach": dice.uniform(26, 55) + thickness,
        "subdural_hu": np.choose(kind.astype(int), [acute, iso, old, old]),
        "subdural_sediment_hu": np.choose(kind.astype(int), [acute, iso, old, acute]),
        "subdural_falx": dice.chance(0.22) * dice.uniform(2.5, 6),
    }


def _intraparenchymal(dice: Dice, table: Table) -> Table:
    """Draw an irregular blob: deep, lobar, cerebellar, or contusions close to the skull."""
    site = dice.choice((0, 1, 2, 3, 4), (0.26, 0.14, 0.34, 0.08, 0.18)).astype(int)
    side = dice.side()
    lobar, fossa = dice.uniform(-1.1, 1.2), dice.uniform(-0.2, 1)
    far = dice.uniform(0.5, 0.72)
    frontal = dice.chance(0.55)
    x = np.choose(
        site, [26.0 + 0 * far, 11.0 + 0 * far, far * 62 * np.cos(lobar), 22 * fossa, np.where(frontal, 20, 44)]
    )
    y = np.choose(
        site, [-3.0 + 0 * far, 8.0 + 0 * far, far * 76 * np.sin(lobar), 40.0 - 12 * far, np.where(frontal, -58, -22)]
    )
    level = np.choose(site, [60.0, 60.0, 55 + 50 * dice.uniform(), 24.0, np.where(frontal, 48, 40)])
    radius = dice.lognormal(11.5, 0.42, 4.5, 30) * np.choose(site, [1, 0.75, 1.1, 0.9, 0.75])
    old = dice.chance(0.14)
    return {
        "intraparenchymal_x": side * x + dice.normal(0, 3),
        "intraparenchymal_y": y + dice.normal(0, 4),
        "intraparenchymal_level": level + dice.normal(0, 4),
        "intraparenchymal_radius": radius,
        "intraparenchymal_stretch": dice.uniform(1.0, 1.7),
        "intraparenchymal_turn": dice.uniform(0, np.pi),
        "intraparenchymal_reach": radius * dice.uniform(0.9, 1.4) + 5,
        "intraparenchymal_rough": dice.uniform(0.12, 0.42),
        "intraparenchymal_hu": np.where(old, dice.normal(44, 3), dice.normal(63, 5)),
        "intraparenchymal_oedema": np.where(old, 1.5, 1.0) * dice.uniform(2, 12),
        "intraparenchymal_satellites": np.where(site == 4, 2.0, np.where(dice.chance(0.2), 1.0, 0.0)),
    }


def _intraventricular(dice: Dice, table: Table) -> Table:
    """Draw blood in the ventricles: a layer in the dependent horns, or a cast."""
    return {
        "intraventricular_amount": dice.uniform(),
        "intraventricular_side": dice.choice((-1, 0, 1), (0.25, 0.5, 0.25)),
        "intraventricular_hu": dice.normal(60, 5),
        "intraventricular_midline": dice.chance(0.55).astype(np.float64),
        "hydrocephalus": dice.uniform(0.0, 0.5),
    }


def _subarachnoid(dice: Dice, table: Table) -> Table:
    """Draw thin dense lines: in the basal cisterns and Sylvian fissures (aneurysm), or in some sulci (trauma)."""
    return {
        "subarachnoid_basal": dice.chance(0.38).astype(np.float64),
        "subarachnoid_side": dice.side(),
        "subarachnoid_angle": dice.uniform(-1.2, 1.2),
        "subarachnoid_extent": dice.lognormal(30, 0.35, 16, 62),
        "subarachnoid_level": np.clip(dice.normal(84, 20), 45, 118),
        "subarachnoid_reach": dice.uniform(16, 40),
        "subarachnoid_hu": dice.normal(57, 6),
        "subarachnoid_width": dice.uniform(1.8, 3.4),
    }


def _mass_effect(dice: Dice, table: Table) -> Table:
    """Work out how far the midline is pushed, and a swollen scalp where the head was hit."""
    spared = 1 - 0.45 * table["atrophy"]
    epidural = table["has_epidural"] * np.maximum(table["epidural_thickness"] - 6, 0) * 0.45
    subdural = table["has_subdural"] * np.maximum(table["subdural_thickness"] - 4, 0) * 0.8
    subdural *= 1 - table["subdural_both"]
    inner = table["has_intraparenchymal"] * np.maximum(table["intraparenchymal_radius"] - 9, 0) * 0.6
    shift = -(
        epidural * table["epidural_side"]
        + subdural * table["subdural_side"]
        + inner * np.sign(table["intraparenchymal_x"])
    )
    strongest = np.argmax(np.abs([epidural, subdural, inner]), axis=0)
    level = np.choose(strongest, [table[f"{name}_level"] for name in ("epidural", "subdural", "intraparenchymal")])
    injured = np.maximum(0.55 * table["has_epidural"], 0.3 * table["has_subdural"])
    hit = dice.chance(np.maximum(injured, 0.06))
    other = dice.chance(0.3)
    along = np.where(table["has_epidural"] > 0, table["epidural_angle"], dice.uniform(-1.2, 1.2))
    side = np.where(table["has_epidural"] > 0, table["epidural_side"], table["subdural_side"])
    return {
        "shift_level": level,
        "midline_shift": np.clip(shift * spared * dice.uniform(0.5, 1.3), -16, 16),
        "swelling_mm": hit * dice.uniform(3, 12),
        "swelling_angle": along,
        "swelling_side": np.where(other, -side, side),
        "swelling_level": dice.uniform(45, 105),
    }
