"""Words that the audit writes and figures read; nothing is imported, so that drawing a figure loads no torch."""

BLURRED, NOISY, REPEATED, SHUFFLED = "blurred", "noisy", "repeated", "shuffled"
"""Parameters of fidelity's ceilings: what was done to real images."""
NOISE = 25.0
"""Standard deviation of the noisy control of fidelity and of machine detection, of 255 grey levels."""
GROUPS = ("training", "held_out", "all_training")
"""Real images among which neighbours are sought."""
SPACES = ("judge", "pixels")
"""What neighbours' distances are measured in."""
POOLED = "all"
"""Name of the replicate that stands for all of them."""
UNFLIPPED = "unflipped"
"""Parameter of the rows that hold AUROCs as they are, where the others are flipped: only these can reach chance."""
