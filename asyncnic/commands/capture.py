"""`asyncnic capture`: frames of a running service as a pcapng file."""

import sys
from pathlib import Path
from typing import BinaryIO

import click

from asyncnic.client.client import ServiceAddress
from asyncnic.commands.endpoint import control_options
from asyncnic.errors import Failed
from asyncnic.linux.files import write_beside
from asyncnic.pcapng import BlockSplitter


@click.command()
@control_options
@click.option(
    "--count", type=click.IntRange(min=1), metavar="N", help="end after N frames; without it, until interrupted"
)
@click.argument("file", type=click.Path(path_type=Path))
def command(endpoint: ServiceAddress, count: int | None, file: Path) -> None:
    """Write received frames of a running service to FILE as pcapng (- is standard output), readable by tshark. FILE is
    replaced when the capture ends; it stays as it is where none begins."""
    if str(file) == "-":
        _, problem = _copy(endpoint, count, sys.stdout.buffer)
    else:
        try:
            with write_beside(file) as out:
                frames, problem = _copy(endpoint, count, out)
        except OSError as error:
            raise Failed(f"{file}: {error.strerror}") from None
        click.echo(f"{frames} frames in {file}", err=True)
    if problem is not None:
        raise problem


def _copy(endpoint: ServiceAddress, count: int | None, out: BinaryIO) -> tuple[int, Failed | None]:
    """Copy whole blocks, so that an interrupted capture is a good file; frames copied, and why there are no more where
    the service broke off.

    Raises:
        Failed: nothing came.
    """
    blocks = BlockSplitter()
    begun = False
    try:
        for piece in endpoint.stream(f"/api/v1/capture?count={count or 0}", patient=True):
            out.write(blocks.feed(piece))
            out.flush()
            begun = True
    except KeyboardInterrupt:
        pass  # the usual end of a capture without --count
    except ValueError:
        raise Failed(f"{endpoint.flag}: what answers there is not asyncnic") from None
    except Failed as error:
        if not begun:
            raise
        return blocks.packets, error
    return blocks.packets, None
