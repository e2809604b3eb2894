"""What computes: the machine that everything was measured on, and cards that nothing was measured on."""

import difflib

from synthcohort.core.errors import UserError

REFERENCE = "two cores of an AMD Zen 4 (AVX-512 with bfloat16, no GPU)"
UTILISATION = 0.2
"""Share of a card's peak that training is assumed to reach."""
STEP_SECONDS = 0.03
"""Shortest step of a generator on a card that is assumed: it starts some thousand kernels."""
AUDIT_SPEEDUP = 10.0
"""How much faster than one reference core a card is assumed to be in the audit and in sampling."""


CARDS = {
    "v100": 125e12,  # float16
    "a100": 312e12,
    "a40": 150e12,
    "l40s": 362e12,
    "h100": 989e12,
    "h200": 989e12,
}
"""Dense bfloat16 FLOP/s of GPUs, by their data sheets."""


def find_card(name: str) -> float:
    """Give a card's peak, FLOP/s.

    Raises
    ------
    UserError
        When it is not known; names the nearest.
    """
    if name in CARDS:
        return CARDS[name]
    (nearest,) = difflib.get_close_matches(name.lower(), CARDS, n=1, cutoff=0)
    raise UserError(f"--card: '{name}' is not known; did you mean '{nearest}'? Known: {', '.join(CARDS)}.")
