"""The findings of head CT, how often they occur, and which occur together."""

import math

import numpy as np
from numpy.typing import NDArray

from synthcohort.core.store import Finding

FINDINGS: tuple[Finding, ...] = (
    Finding(name="epidural", display="Epidural haemorrhage"),
    Finding(name="intraparenchymal", display="Intraparenchymal haemorrhage"),
    Finding(name="intraventricular", display="Intraventricular haemorrhage"),
    Finding(name="subarachnoid", display="Subarachnoid haemorrhage"),
    Finding(name="subdural", display="Subdural haemorrhage"),
    Finding(name="no_finding", display="No finding"),
)
LESIONS = tuple(finding.name for finding in FINDINGS[:-1])

MINIMUM_AREA_MM2 = 40.0
"""A lesion that covers less of a slice is neither drawn nor labelled there."""

NATURAL_PREVALENCE = {
    "epidural": 0.0042,
    "intraparenchymal": 0.048,
    "intraventricular": 0.035,
    "subarachnoid": 0.047,
    "subdural": 0.063,
}
"""Share of slices in the RSNA 2019 haemorrhage challenge (Flanders et al. 2020, doi:10.1148/ryai.2020190211)."""

VISIBLE_SHARE = {
    "epidural": 0.392,
    "intraparenchymal": 0.292,
    "intraventricular": 0.482,
    "subarachnoid": 0.390,
    "subdural": 0.627,
}
"""Share of an affected patient's slices on which the lesion shows; measured on 8 000 simulated patients."""

# Causes come before what they bring along: (finding, {cause: probability that the cause brings the finding}).
_CAUSES: tuple[tuple[str, dict[str, float]], ...] = (
    ("epidural", {}),
    ("subdural", {"epidural": 0.20}),
    ("intraparenchymal", {"subdural": 0.12, "epidural": 0.10}),
    ("subarachnoid", {"subdural": 0.28, "intraparenchymal": 0.15, "epidural": 0.15}),
    ("intraventricular", {"intraparenchymal": 0.38, "subarachnoid": 0.15}),
)
DRAWS_PER_PATIENT = 2 * len(_CAUSES)


def patient_prevalence(minimum_prevalence: float) -> dict[str, float]:
    """Share of patients that must have each lesion so that it shows on enough slices.

    Parameters
    ----------
    minimum_prevalence : float
        Least share of the slices on which a lesion shows; naturally more frequent ones keep their share.

    Returns
    -------
    dict
        Lesion name to share of patients, at most 0.95.
    """
    return {
        name: min(max(natural, minimum_prevalence) / VISIBLE_SHARE[name], 0.95)
        for name, natural in NATURAL_PREVALENCE.items()
    }


def draw_lesions(uniform: NDArray[np.float64], minimum_prevalence: float) -> dict[str, NDArray[np.bool_]]:
    """Decide which patients have which lesions, singly and together.

    A lesion comes by itself or is brought along by another one. The share that comes by itself is chosen so that the
    total is exactly `patient_prevalence`, by going through all combinations of what came before.

    Parameters
    ----------
    uniform : numpy.ndarray
        float64 ``[patients, DRAWS_PER_PATIENT]`` in [0, 1).
    minimum_prevalence : float
        See `patient_prevalence`.

    Returns
    -------
    dict
        Lesion name to bool ``[patients]``.
    """
    wanted = patient_prevalence(minimum_prevalence)
    combinations: list[tuple[dict[str, bool], float]] = [({}, 1.0)]
    present: dict[str, NDArray[np.bool_]] = {}
    for index, (name, causes) in enumerate(_CAUSES):
        spared = [math.prod(1 - causes[cause] for cause in causes if has[cause]) for has, _ in combinations]
        total = sum(weight * share for (_, weight), share in zip(combinations, spared, strict=True))
        alone = max(0.0, 1 - (1 - wanted[name]) / total)
        combinations = [
            ({**has, name: new}, weight * ((1 - share * (1 - alone)) if new else share * (1 - alone)))
            for (has, weight), share in zip(combinations, spared, strict=True)
            for new in (False, True)
        ]
        brought = 1 - np.prod([1 - present[cause] * share for cause, share in causes.items()], axis=0)
        present[name] = (uniform[:, 2 * index] < alone) | (uniform[:, 2 * index + 1] < brought)
    return {name: present[name] for name in LESIONS}
