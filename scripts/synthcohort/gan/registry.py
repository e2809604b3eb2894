"""Every family by its name: a new one is one file and one entry here."""

from synthcohort.gan import r3_gan
from synthcohort.gan.family import Family

FAMILIES: dict[str, Family] = {family.name: family for family in [r3_gan.FAMILY]}
