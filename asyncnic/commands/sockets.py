"""`asyncnic sockets`: the endpoints, listeners and connections of a running service."""

import json

import click

from asyncnic.client.client import ServiceAddress
from asyncnic.commands.endpoint import control_options


@click.command()
@control_options
@click.option("--json", "as_json", is_flag=True, help="print /api/v1/sockets as it is")
def command(endpoint: ServiceAddress, as_json: bool) -> None:
    """Show the UDP endpoints and TCP connections of the inet stack like `ss -ti`: state, queues, addresses, and what a
    connection knows of its way. Sizes are octets, cwnd too; times are milliseconds, in --json seconds.
    """
    from asyncnic.client.tables import sockets

    found = endpoint.get_json("/api/v1/sockets")
    click.echo(json.dumps(found, indent=2) if as_json else sockets(found))
