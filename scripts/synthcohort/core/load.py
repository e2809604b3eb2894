"""From YAML to a checked study; what is wrong is said in one sentence."""

import difflib
import types
import typing
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from synthcohort.core.config import Study
from synthcohort.core.errors import UserError


def load_study(config: Mapping[str, Any]) -> Study:
    """Check a config as merged by Snakemake.

    Parameters
    ----------
    config : mapping
        Parsed YAML.

    Returns
    -------
    Study

    Raises
    ------
    UserError
        One sentence with the path of the key and, for a misspelt name, the nearest valid one.
    """
    try:
        return Study.model_validate(dict(config))
    except ValidationError as error:
        # A misspelt key also makes its right spelling missing: name the misspelling.
        details = sorted(error.errors(), key=lambda detail: detail["type"] != "extra_forbidden")
        raise UserError(_explain(details[0])) from None


def read_study(path: str | Path) -> Study:
    """Read and check one YAML file on its own.

    Raises
    ------
    UserError
        When the file is not YAML, or its values do not make a study.
    """
    return load_study(_read_config(path))


def read_merged(*paths: str | Path) -> Study:
    """Read YAML files and check what they make together: later ones go before, as with Snakemake's ``--configfile``.

    Raises
    ------
    UserError
        When a file cannot be read, is not YAML, or the values do not make a study.
    """
    merged: dict[str, Any] = {}
    for path in paths:
        _merge(merged, _read_config(path))
    return load_study(merged)


def _merge(config: dict[str, Any], over: Mapping[str, Any]) -> None:
    """Put mappings over mappings key by key; anything else, lists too, is replaced whole."""
    for key, value in over.items():
        if isinstance(value, Mapping) and isinstance(config.get(key), dict):
            _merge(config[key], value)
        else:
            config[key] = value


def _read_config(path: str | Path) -> dict[str, Any]:
    try:
        config = yaml.safe_load(Path(path).read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise UserError(f"{path}: there is no such file; name a config, for example studies/paper.yaml.") from None
    except yaml.YAMLError as error:
        line = getattr(getattr(error, "problem_mark", None), "line", 0) + 1
        raise UserError(f"{path}, line {line}: this is not valid YAML; check indentation and quotes.") from None
    if not isinstance(config, dict):
        raise UserError(f"{path}: a config is a mapping of keys to values.")
    return config


def _explain(detail: ErrorDetails) -> str:
    """Say one validation error in one sentence."""
    location, kind = detail["loc"], detail["type"]
    path = key_path(location)
    if kind == "extra_forbidden":
        known = sorted(_model_at(location[:-1]).model_fields)
        near = difflib.get_close_matches(str(location[-1]), known, n=1, cutoff=0.5)
        hint = f"did you mean '{near[0]}'?" if near else f"known here: {', '.join(known)}."
        return f"config key {path}: there is no such key; {hint}"
    if kind == "missing":
        return f"config key {path}: this key is needed; see docs/config.md."
    value = detail["input"]
    shown = f" (got {value!r})" if isinstance(value, str | int | float | bool) or value is None else ""
    message = detail["msg"].removeprefix("Value error, ")
    if kind == "literal_error":
        choices = [choice.strip(" '") for choice in str(detail["ctx"]["expected"]).replace(" or ", ", ").split(",")]
        near = difflib.get_close_matches(str(value), choices, n=1, cutoff=0.4)
        message = f"must be one of {', '.join(choices)}" + (f"; did you mean '{near[0]}'?" if near else "")
    return f"config key {path or 'study'}: {message[:1].lower() + message[1:]}{shown}."


def key_path(location: tuple[int | str, ...]) -> str:
    """Write a location as people do: ``cohorts[0].ingest.shards``."""
    parts = [f"[{part}]" if isinstance(part, int) else f".{part}" for part in location]
    return "".join(parts).removeprefix(".")


def _model_at(location: tuple[int | str, ...]) -> type[BaseModel]:
    """Find the model that the keys at a location belong to."""
    model: type[BaseModel] = Study
    for part in location:
        if isinstance(part, str) and part in model.model_fields:
            model = inner_model(model.model_fields[part].annotation) or model
    return model


def inner_model(annotation: Any) -> type[BaseModel] | None:
    """Find the model inside an annotation such as ``list[Cohort]`` or ``Phantom | None``."""
    if isinstance(annotation, type) and not isinstance(annotation, types.GenericAlias):
        return annotation if issubclass(annotation, BaseModel) else None
    return next((model for inner in typing.get_args(annotation) if (model := inner_model(inner))), None)
