"""Provenance: what made a study's results, whether files still are those, and a bundle for a colleague."""
