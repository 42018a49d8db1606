"""`asyncnic snapshot`: what the flight recorder of a running service has, as a directory."""

from pathlib import Path

import click

from asyncnic.client.client import ServiceAddress
from asyncnic.commands.endpoint import control_options
from asyncnic.errors import Failed


@click.command()
@control_options
@click.argument("directory", type=click.Path(path_type=Path), default=Path())
def command(endpoint: ServiceAddress, directory: Path) -> None:
    """Write what the flight recorder of a running service has into a new directory in DIRECTORY (here, without one):
    counters of the last minutes, heads of the last frames, knobs, rings, registers and stacks. `asyncnic explain` reads
    it.
    """
    from asyncnic.recorder.snapshot import unpack

    archive = b"".join(endpoint.stream("/api/v1/snapshot"))
    try:
        path = unpack(archive, directory)
    except ValueError:
        raise Failed(f"{endpoint.flag}: what answers there is not asyncnic") from None
    except OSError as error:
        raise Failed(f"{directory}: {error.strerror or error}: name a directory that can be written") from None
    click.echo(path)
