"""The config of a release: which synthetic cohort leaves, on which terms, and what must hold before it may."""

from datetime import date
from typing import Annotated

from pydantic import Field, model_validator

from synthcohort.core.cohort_config import Model, Name

SHORTEST_REASON = 20


class Gate(Model):
    """What the privacy audit must show before a synthetic cohort may leave; a bundle tells of looser values."""

    attack_auroc: float = Field(0.60, ge=0.5, le=1)
    """No membership attack's AUROC may have an interval that ends above this; 0.5 is chance."""
    attack_tpr: float = Field(0.02, ge=0.01, le=1)
    """No attack's true positive rate at 1 % false positives may have an interval that begins above this; 0.01 is
    chance."""
    combination_patients: int = Field(5, ge=1)
    """Fewest training patients behind any label combination: the labels of an image drawn for one patient's combination
    are that patient's."""


class Release(Model):
    """A bundle to be shared: one synthetic cohort with its labels, figures and limits."""

    cohort: Name
    """Cohort that the images stand for."""
    experiment: str
    """Experiment as in the paths, for example resolution-032."""
    source: Name
    """Generator family that drew the images."""
    replicate: str = "r0"
    """Which replicate's sample."""
    license: str = Field(min_length=1)
    """Terms of use: an SPDX identifier such as CC-BY-4.0, or the address of the terms."""
    creator: str = Field(min_length=1)
    """Person or institution that answers for the bundle."""
    url: Annotated[str, Field(pattern=r"^https?://")] | None = None
    """Address that the bundle will have."""
    published: date | None = None
    """Day of publication."""
    version: Annotated[str, Field(pattern=r"^[0-9]+\.[0-9]+\.[0-9]+$")] = "1.0.0"
    """Version of the bundle."""
    field_of_view: float | None = Field(None, gt=0)
    """Side of the images in millimetres, from which the nominal pixel spacing follows; left out: 250 for CT (a head),
    400 for radiographs (a chest)."""
    weights: bool = False
    """Also hand out the generator's weights; the audit does not cover attacks that need them."""
    gate: Gate = Gate()
    """What the privacy audit must show."""
    override: str = ""
    """Reason for building the bundle although the gate fails: who decided, and why. It is printed in the bundle."""

    @model_validator(mode="after")
    def _reasoned(self) -> "Release":
        if self.override and len(self.override.strip()) < SHORTEST_REASON:
            raise ValueError(f"override: say who decided and why, in {SHORTEST_REASON} characters at least")
        return self
