"""`asyncnic ring`: the descriptors of a running service, decoded."""

import json

import click

from asyncnic.client.client import ServiceAddress
from asyncnic.commands.endpoint import endpoint_options


@click.command()
@endpoint_options
@click.option("--json", "as_json", is_flag=True, help="print /api/v1/ring as it is")
def command(endpoint: ServiceAddress, as_json: bool) -> None:
    """Show each descriptor of the receive and transmit rings: owner, buffer, and the bits by the data sheet's names."""
    from asyncnic.client.tables import ring

    rings = endpoint.get_json("/api/v1/ring")
    click.echo(json.dumps(rings, indent=2) if as_json else ring(rings))
