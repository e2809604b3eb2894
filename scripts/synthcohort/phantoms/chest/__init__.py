"""Chest phantom: simulated frontal radiographs with the 14 CheXpert findings."""

from synthcohort.phantoms.chest.labels import FINDINGS, plan_images
from synthcohort.phantoms.chest.render import draw_images

__all__ = ["FINDINGS", "draw_images", "plan_images"]
