"""What the synthetic cohort is worth and what it gives away."""
