"""The settings' file as JSON Schema, for editors and for those who write such files by program.

Made of the model alone. It describes how a value is best written; `asyncnic check --config-only` has the last word: it
knows what no schema can tell, what contradicts what.
"""

from collections.abc import Iterator
from typing import Any, get_args

from pydantic import BeforeValidator
from pydantic.fields import FieldInfo

from asyncnic.settings.model import Settings, choices, is_list
from asyncnic.settings.values import TAKES

DIALECT = "https://json-schema.org/draft/2020-12/schema"


def json_schema() -> dict[str, Any]:
    """The schema of the file that `--config` takes."""
    defaults = Settings.model_validate({}).model_dump(mode="json")
    return {
        "$schema": DIALECT,
        "title": "asyncnic",
        "description": "the settings of asyncnic run",
        "type": "object",
        "additionalProperties": False,
        "properties": {
            name: {"description": field.description, **_value(name, field), "default": _written(defaults[name])}
            for name, field in Settings.model_fields.items()
        },
    }


def _value(name: str, field: FieldInfo) -> dict[str, Any]:
    words = choices(field)
    if words:
        return {"enum": list(words)}
    whole = _taken(field.metadata)
    if whole is not None or not is_list(name):
        return whole or {"type": "string"}
    item = _taken(get_args(get_args(field.annotation)[0]))
    return {"type": "array", "items": item or {"type": "string"}}


def _taken(metadata: object) -> dict[str, Any] | None:
    """What the checker among `metadata` takes, where it says so."""
    return next((dict(TAKES[check]) for check in _checkers(metadata) if check in TAKES), None)


def _checkers(metadata: object) -> Iterator[Any]:
    if isinstance(metadata, list | tuple):
        yield from (item.func for item in metadata if isinstance(item, BeforeValidator))


def _written(value: object) -> object:
    """A value of the model as the file has it."""
    return "" if value is None else value
