"""A synthetic cohort that can leave the hospital: the gate before it, and the bundle behind it."""
