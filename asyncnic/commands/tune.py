"""`asyncnic tune`: the knobs of a running service, shown or changed."""

import json
from typing import Any

import click

from asyncnic.client.client import Refused, ServiceAddress
from asyncnic.commands.endpoint import control_options
from asyncnic.errors import SettingsError

PATH = "/api/v1/settings"


@click.command()
@control_options
@click.option("--json", "as_json", is_flag=True, help="print what the service answers as it is")
@click.argument("changes", nargs=-1, metavar="[KNOB=VALUE]...")
def command(endpoint: ServiceAddress, as_json: bool, changes: tuple[str, ...]) -> None:
    """Change knobs of a running service while frames flow: all that are given, or none. Without any, show how the
    knobs stand. Values are those of `run`; lists have commas between their items (lane and shed: semicolons).

    Example: asyncnic tune rx_budget=auto target_lag=2ms overload=drain
    """
    wanted = _parsed(changes)
    try:
        answer = endpoint.put_json(PATH, wanted) if wanted else endpoint.get_json(PATH)
    except Refused as error:
        raise SettingsError(str(error)) from None
    if as_json:
        click.echo(json.dumps(answer))
    elif not wanted:
        _print(answer)
    else:
        _print({name: f"{_shown(was['old'])} -> {_shown(was['new'])}" for name, was in answer.items()})
        if not answer:
            click.echo("nothing changed: the knobs stand so already")


def _parsed(changes: tuple[str, ...]) -> dict[str, str]:
    wanted: dict[str, str] = {}
    for change in changes:
        name, equals, value = change.partition("=")
        name = name.strip()
        if not (name and equals):
            raise click.UsageError(f"{change}: must be KNOB=VALUE, like rx_budget=32")
        if name in wanted:
            raise click.UsageError(f"{change}: {name} was given before")
        wanted[name] = value.strip()
    return wanted


def _print(values: dict[str, Any]) -> None:
    width = max(map(len, values), default=0)
    for name, value in values.items():
        click.echo(f"{name:{width}}  {_shown(value)}")


def _shown(value: Any) -> str:
    if isinstance(value, list):
        return "; ".join(map(str, value)) or "(none)"
    return str(value)
