"""From a family's name to its code."""

from importlib import import_module

from synthcohort.core.errors import UserError
from synthcohort.core.families import FAMILIES
from synthcohort.gan.family import Family


def load_family(name: str) -> Family:
    """Import a family by its name.

    Raises
    ------
    UserError
        When there is no such family.
    """
    if name not in FAMILIES:
        raise UserError(f"there is no generator family '{name}'; there are {', '.join(FAMILIES)}.")
    return import_module(FAMILIES[name].module).FAMILY
