"""Seeds that depend on what they are for, and on nothing else."""

import hashlib


def derive_seed(
    study_seed: int,
    purpose: str,
    cohort: str = "",
    experiment: str = "",
    source: str = "",
    replicate: str = "",
) -> int:
    """Derive the seed of one purpose: the first 8 bytes of a SHA-256 over all that names it.

    Parameters
    ----------
    study_seed : int
        The study's `seed` from the config.
    purpose : str
        What the seed is for, for example ``"generator"``.
    cohort, experiment, source, replicate : str
        What it belongs to; empty where the seed is shared, so that for example real and synthetic classifiers of a
        replicate start from the same weights.

    Returns
    -------
    int
        Between 0 and 2**63 - 1 (torch takes no more).

    Examples
    --------
    >>> derive_seed(1, "split") == derive_seed(1, "split")
    True
    """
    name = "|".join([str(study_seed), purpose, cohort, experiment, source, replicate])
    return int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], "big") >> 1
