"""Pure functions from arrays to numbers: AUROC, intervals, distances."""
