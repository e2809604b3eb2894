"""Simulated head CT: axial slices in Hounsfield units, with and without intracranial haemorrhage."""

from synthcohort.phantoms.head.labels import FINDINGS, MINIMUM_AREA_MM2
from synthcohort.phantoms.head.plan import plan_images
from synthcohort.phantoms.head.render import draw_images

__all__ = ["FINDINGS", "MINIMUM_AREA_MM2", "draw_images", "plan_images"]
