"""`asyncnic capture`: frames of a running service as a pcapng file."""

import sys
from pathlib import Path
from typing import BinaryIO

import click

from asyncnic.client.client import Endpoint
from asyncnic.commands.endpoint import endpoint_options
from asyncnic.errors import Failed
from asyncnic.pcapng import BlockSplitter


@click.command()
@endpoint_options
@click.option(
    "--count", type=click.IntRange(min=1), metavar="N", help="end after N frames; without it, until interrupted"
)
@click.argument("file", type=click.Path(path_type=Path))
def command(endpoint: Endpoint, count: int | None, file: Path) -> None:
    """Write received frames of a running service to FILE as pcapng (- is standard output), readable by tshark."""
    if str(file) == "-":
        _copy(endpoint, count, sys.stdout.buffer)
        return
    try:
        with file.open("wb") as out:
            frames = _copy(endpoint, count, out)
    except OSError as error:
        raise Failed(f"{file}: {error.strerror}") from None
    click.echo(f"{frames} frames in {file}", err=True)


def _copy(endpoint: Endpoint, count: int | None, out: BinaryIO) -> int:
    """Copy whole blocks, so that an interrupted capture is a good file; frames copied."""
    blocks = BlockSplitter()
    try:
        for piece in endpoint.stream(f"/api/v1/capture?count={count or 0}", patient=True):
            out.write(blocks.feed(piece))
            out.flush()
    except KeyboardInterrupt:
        pass  # the usual end of a capture without --count
    except ValueError:
        raise Failed(f"--url {endpoint.shown}: what answers there is not asyncnic") from None
    return blocks.packets
