"""`asyncnic demo`: the report's flood in a network of its own."""

from pathlib import Path

import click


@click.command()
@click.option("--packets", type=click.IntRange(min=1), default=1_000_000, show_default=True, help="UDP packets to send")
@click.option("--seconds", type=click.FloatRange(min=0, min_open=True), default=30.0, show_default=True, help="time")
@click.option(
    "--json", "json_file", metavar="FILE", type=click.Path(path_type=Path), help="also write the result there"
)
def command(packets: int, seconds: float, json_file: Path | None) -> int:
    """Send UDP packets of 60 bytes through the kernel to a service in a private network namespace, and show where every
    frame went, next to the figures of the 2009 report. Needs nothing set up, and no root where user namespaces are
    allowed."""
    from asyncnic.bench.demo import run_demo

    return run_demo(packets, seconds, json_file)
