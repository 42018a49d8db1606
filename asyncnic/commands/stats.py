"""`asyncnic stats`: the counters of a running service."""

import json
import time

import click

from asyncnic.client.client import ServiceAddress
from asyncnic.commands.endpoint import endpoint_options

INTERVAL = 1.0
"""Seconds between two readings of --watch."""


@click.command()
@endpoint_options
@click.option("--json", "as_json", is_flag=True, help="print /api/v1/stats as it is; with --watch one line a second")
@click.option("--watch", is_flag=True, help="refresh every second and show rates, until interrupted")
def command(endpoint: ServiceAddress, as_json: bool, watch: bool) -> None:
    """Show the counters of a running service: two-row tables as in `ip -s link`, then flat names as in `ethtool -S`."""
    if watch:
        _watch(endpoint, as_json)
        return
    numbers = endpoint.get_json("/api/v1/stats")
    click.echo(json.dumps(numbers, indent=2) if as_json else _text(numbers))


def _watch(endpoint: ServiceAddress, as_json: bool) -> None:
    before = None
    try:
        while True:
            numbers = endpoint.get_json("/api/v1/stats")
            if as_json:
                click.echo(json.dumps(numbers))
            else:
                click.clear()
                click.echo(_text(numbers, before))
            before = numbers
            time.sleep(INTERVAL)
    except KeyboardInterrupt:
        return


def _text(numbers: dict[str, object], before: dict[str, object] | None = None) -> str:
    from asyncnic.client.tables import stats

    return stats(numbers, before)
