"""What computes: the machine that everything was measured on, and cards that nothing was measured on."""

import difflib
from dataclasses import dataclass

from synthcohort.core.errors import UserError

REFERENCE = "two cores of an AMD Zen 4 (AVX-512 with bfloat16, no GPU)"
UTILISATION = 0.2
"""Share of a card's peak that training is assumed to reach."""
STEP_SECONDS = 0.03
"""Shortest step of a generator on a card that is assumed: it starts some thousand kernels."""
AUDIT_SPEEDUP = 10.0
"""How much faster than one reference core a card is assumed to be in the audit and in sampling."""


@dataclass(frozen=True)
class Card:
    """A GPU.

    Attributes
    ----------
    peak : float
        Dense bfloat16 FLOP/s, by its data sheet.
    memory : float
        Bytes.
    """

    peak: float
    memory: float


CARDS = {
    "v100": Card(125e12, 32e9),  # float16
    "a100": Card(312e12, 80e9),
    "a40": Card(150e12, 48e9),
    "l40s": Card(362e12, 48e9),
    "h100": Card(989e12, 80e9),
    "h200": Card(989e12, 141e9),
}


def find_card(name: str) -> Card:
    """Look a card up.

    Raises
    ------
    UserError
        When it is not known; names the nearest.
    """
    if name in CARDS:
        return CARDS[name]
    (nearest,) = difflib.get_close_matches(name.lower(), CARDS, n=1, cutoff=0)
    raise UserError(f"--card: '{name}' is not known; did you mean '{nearest}'? Known: {', '.join(CARDS)}.")
