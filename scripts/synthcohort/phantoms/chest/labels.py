"""Who is imaged and what they have: patients, studies and findings that occur together as in CheXpert."""

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.special import ndtri

from synthcohort.core.store import Finding

FINDINGS = (
    Finding(name="no_finding", display="No Finding"),
    Finding(name="enlarged_cardiomediastinum", display="Enlarged Cardiomediastinum"),
    Finding(name="cardiomegaly", display="Cardiomegaly"),
    Finding(name="lung_opacity", display="Lung Opacity"),
    Finding(name="lung_lesion", display="Lung Lesion"),
    Finding(name="edema", display="Edema"),
    Finding(name="consolidation", display="Consolidation"),
    Finding(name="pneumonia", display="Pneumonia"),
    Finding(name="atelectasis", display="Atelectasis"),
    Finding(name="pneumothorax", display="Pneumothorax"),
    Finding(name="pleural_effusion", display="Pleural Effusion"),
    Finding(name="pleural_other", display="Pleural Other"),
    Finding(name="fracture", display="Fracture"),
    Finding(name="support_devices", display="Support Devices"),
)
BIT = {finding.name: np.uint16(1 << k) for k, finding in enumerate(FINDINGS)}

# Aggregate figures of the 190 998 frontal (AP or PA) images of CheXpert's training labels (Irvin et al., "CheXpert: a
# large chest radiograph dataset with uncertainty labels and expert comparison", AAAI 2019); uncertain counts as
# positive, blank as negative. An image is *well* outright, or it carries what a Gaussian copula draws.
SHARE_WELL = 0.0554
SHARES = {
    "enlarged_cardiomediastinum": 0.1019,
    "cardiomegaly": 0.1575,
    "lung_opacity": 0.5164,
    "lung_lesion": 0.0427,
    "edema": 0.3219,
    "consolidation": 0.1956,
    "pneumonia": 0.1081,
    "atelectasis": 0.3119,
    "pneumothorax": 0.1068,
    "pleural_effusion": 0.4527,
    "pleural_other": 0.0226,
    "fracture": 0.0415,
}
SHARE_DEVICES = 0.5658
SHARE_PA = 0.1540
# Correlations (percent) of the copula's normals: well, the findings in their order, support devices, view PA.
CORRELATIONS = (
    (),
    (0,),
    (0, -11),
    (0, 0, -6),
    (0, 3, -16, 8),
    (0, -10, 30, 9, -25),
    (0, -2, -4, 12, 2, -12),
    (0, -7, -7, 43, 10, 19, -1),
    (0, -4, -4, 16, -13, -6, 58, 7),
    (0, -6, -31, -7, 1, -42, -17, -25, -11),
    (0, -3, 2, 26, -7, 7, 12, -10, 13, -15),
    (0, 6, -4, 2, 15, -25, -3, -1, -9, -7, 9),
    (0, 6, -10, -13, -2, -26, -13, -13, -9, 9, -18, 14),
    (-18, 3, 4, 15, -23, 15, 0, -21, 6, 7, 20, -19, -17),
    (31, 7, -2, -20, 27, -48, -9, 6, -15, -9, -15, 37, 10, -45),
)
PERSISTENCE = 0.6  # share of the normals' variance that a patient keeps from study to study
STUDIES = (0.53, 0.19, 0.11, 0.08, 0.09)  # probability of 1, 2, … 5 studies
REPEATED = 0.02  # share of studies with a second exposure


def plan_images(patients: int, seed: int, minimum_prevalence: float) -> pd.DataFrame:
    """Plan who is imaged: one row per image.

    Parameters
    ----------
    patients : int
        Number of simulated patients, each with 1 to 5 studies. The rows of a patient depend only on the seed, the
        patient's number and `minimum_prevalence`: more patients append rows.
    seed : int
        Another seed gives other patients.
    minimum_prevalence : float
        Findings that are rarer in CheXpert than this share of the images are raised to about this share.

    Returns
    -------
    pandas.DataFrame
        ``patient``, ``study`` (1–5), ``instance`` (2 where an exposure was repeated), ``sex`` (M/F), ``age`` (years),
        ``view`` (PA/AP), ``habitus`` (standard normal: slim to stout), ``field_mm`` (side of the image),
        ``spacing_mm`` (side of a pixel of a 512-pixel matrix), and one int8 0/1 column per finding. ``no_finding``
        stands where no other finding but support devices does.

    References
    ----------
    Irvin et al. 2019 (label statistics).
    """
    patient = np.arange(patients, dtype=np.uint64)
    person = _uniforms(seed, patient, np.uint64(0), 24)
    studies = 1 + np.searchsorted(np.cumsum(STUDIES)[:-1], person[:, 0])
    owner = np.repeat(np.arange(patients), studies)
    study = np.arange(len(owner)) - np.repeat(np.cumsum(studies) - studies, studies) + 1
    visit = _uniforms(seed, owner.astype(np.uint64), study.astype(np.uint64), 24)

    sides = len(CORRELATIONS)
    independent = np.sqrt(PERSISTENCE) * ndtri(person[owner, 8 : 8 + sides])
    independent += np.sqrt(1 - PERSISTENCE) * ndtri(visit[:, 8 : 8 + sides])
    columns = _findings(independent @ np.linalg.cholesky(_correlation()).T, minimum_prevalence)

    age = np.clip(np.rint(62 + 18 * ndtri(person[owner, 1])), 18, 90).astype(int)
    habitus = np.clip(ndtri(person[owner, 3]), -2.2, 2.2)
    male = person[owner, 2] < 0.587
    field = np.where(male, 360.0, 334.0) + 8 * habitus + 30 * (visit[:, 0] - 0.4)
    table = pd.DataFrame(
        {
            "patient": owner,
            "study": study,
            "instance": 1,
            "sex": np.where(male, "M", "F"),
            "age": age,
            "view": columns.pop("view"),
            "habitus": habitus.round(3),
            "field_mm": field.round(2),
            "spacing_mm": field.round(2) / 512,
            **columns,
        }
    )
    repeats = np.where(visit[:, 1] < REPEATED, 2, 1)
    table = table.loc[np.repeat(table.index, repeats)].reset_index(drop=True)
    table["instance"] = table.groupby(["patient", "study"]).cumcount() + 1
    return table


def _findings(normals: NDArray[np.float64], minimum_prevalence: float) -> dict[str, NDArray]:
    """Cut the copula's normals [n, 15] into the view and the 0/1 columns of all findings."""
    well = normals[:, 0] > -ndtri(SHARE_WELL)
    present = {}
    for k, (name, natural) in enumerate(SHARES.items(), start=1):
        share = max(natural, minimum_prevalence) / (1 - SHARE_WELL)
        present[name] = (normals[:, k] > -ndtri(share)) & ~well
    none = ~np.any(list(present.values()), axis=0)
    columns = {"no_finding": none, **present, "support_devices": normals[:, -2] > -ndtri(SHARE_DEVICES)}
    cut = {finding.name: columns[finding.name].astype(np.int8) for finding in FINDINGS}
    return {"view": np.where(normals[:, -1] > -ndtri(SHARE_PA), "PA", "AP"), **cut}


def _correlation() -> NDArray[np.float64]:
    """Full correlation matrix [15, 15] of the copula's normals."""
    lower = np.zeros((len(CORRELATIONS), len(CORRELATIONS)))
    for k, row in enumerate(CORRELATIONS):
        lower[k, :k] = np.array(row) / 100
    return lower + lower.T + np.eye(len(lower))


def _uniforms(
    seed: int, patient: NDArray[np.uint64], study: NDArray[np.uint64] | np.uint64, count: int
) -> NDArray[np.float64]:
    """Hash (seed, patient, study) into `count` uniforms per row (SplitMix64), so that no row depends on another."""
    key = _mix(_mix(_mix(np.full(len(patient), seed, np.uint64)) + patient) + study)
    bits = _mix(key[:, None] + np.arange(1, count + 1, dtype=np.uint64) * np.uint64(0x9E3779B97F4A7C15))
    return ((bits >> np.uint64(11)).astype(np.float64) + 0.5) / 2**53


def _mix(x: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """SplitMix64's finaliser (Steele, Lea and Flood 2014)."""
    x = x + np.uint64(0x9E3779B97F4A7C15)
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return x ^ (x >> np.uint64(31))
