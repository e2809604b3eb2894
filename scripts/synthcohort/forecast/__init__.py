"""What a study will cost: its jobs, their seconds and bytes, and when they would be done. Nothing is run."""
