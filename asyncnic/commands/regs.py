"""`asyncnic regs`: the chip's registers of a running service, decoded."""

import json

import click

from asyncnic.client.client import ServiceAddress
from asyncnic.commands.endpoint import endpoint_options


@click.command()
@endpoint_options
@click.option("--json", "as_json", is_flag=True, help="print /api/v1/regs as it is")
def command(endpoint: ServiceAddress, as_json: bool) -> None:
    """Show the chip's registers that can be read without a side effect, with the bits by the data sheet's names."""
    from asyncnic.client.tables import registers

    found = endpoint.get_json("/api/v1/regs")
    click.echo(json.dumps(found, indent=2) if as_json else registers(found))
