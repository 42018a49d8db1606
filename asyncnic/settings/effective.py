"""The settings as they are in force, each with who said so, as a file that `--config` takes again.

Nothing is decided or checked here: that is load.py's, and the values come from it.
"""

import json

from asyncnic.settings.model import Settings

DEFAULT = "default"
WIDTH = 60
"""Characters before a comment, at most where the value is not longer."""


def as_toml(settings: Settings) -> str:
    """A line for each setting, in the order of the model: `key = value  # origin`.

    The origin is the flag or the variable that was typed, "KEY in FILE", or `DEFAULT`.
    """
    values = settings.model_dump(mode="json")
    lines = {name: f"{name} = {_toml('' if value is None else value)}" for name, value in values.items()}
    width = min(WIDTH, max(map(len, lines.values())))
    return "".join(f"{line:<{width}}  # {_said(settings, name)}\n" for name, line in lines.items())


def _said(settings: Settings, name: str) -> str:
    said = settings.origin(name) if settings.given(name) else DEFAULT
    return said if said.isprintable() else said.encode("unicode_escape").decode("ascii")


def _toml(value: object) -> str:
    """A TOML value. JSON's texts are TOML's, but for the one control character that JSON allows as it is."""
    if isinstance(value, list | tuple):
        return f"[{', '.join(map(_toml, value))}]"
    if isinstance(value, str):
        return json.dumps(value.encode("utf-8", "replace").decode(), ensure_ascii=False).replace("\x7f", "\\u007f")
    return json.dumps(value)
