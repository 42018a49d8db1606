"""The settings as options of a command, generated from their model.

Nothing is checked here: values reach `asyncnic.settings.load.load` as they were typed, so that a wrong flag, variable
or key of the file is reported in the same words.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click
from click.shell_completion import CompletionItem

from asyncnic.settings.model import Settings, choices, flag, is_list, variable
from asyncnic.settings.values import show_duration, shown

Command = TypeVar("Command", bound=Callable[..., Any])


class Word(click.ParamType[str]):
    """One of a few words: completed by the shell, checked by the settings."""

    name = "word"

    def __init__(self, words: tuple[str, ...]) -> None:
        self._words = words

    def shell_complete(self, context: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
        """The words that start with what is typed so far."""
        return [CompletionItem(word) for word in self._words if word.startswith(incomplete)]


def settings_options(command: Command) -> Command:
    """Give `command` --config and a flag for each setting; they arrive as `config` and by the settings' names."""
    for name in reversed(Settings.model_fields):
        command = _option(name)(command)
    config = click.option(
        "--config",
        metavar="FILE",
        type=click.Path(path_type=Path),
        envvar="ASYNCNIC_CONFIG",
        help="TOML file with settings  [ASYNCNIC_CONFIG]",
    )
    return config(command)


def _option(name: str) -> Callable[[Command], Command]:
    field = Settings.model_fields[name]
    words = choices(field)
    default = (
        "" if field.default == "" or field.default is False else f"; default {_shown_default(name, field.default)}"
    )
    text = f"{field.description}  [{variable(name)}{default}]"
    if field.annotation is bool:
        return click.option(flag(name), name, is_flag=True, flag_value=True, default=None, help=text)
    return click.option(
        flag(name),
        name,
        type=Word(words) if words else click.STRING,
        metavar="|".join(words) or field.title,
        multiple=is_list(name),
        default=None,
        help=text,
    )


def _shown_default(name: str, default: object) -> str:
    return show_duration(default) if isinstance(default, float) else shown(default)


def given(flags: dict[str, Any]) -> dict[str, object]:
    """The flags that were typed: click's "nothing" for a repeatable option is an empty tuple."""
    return {name: value for name, value in flags.items() if value is not None and value != ()}
