"""`asyncnic explain`: what a snapshot says, in ten lines."""

from pathlib import Path

import click


@click.command()
@click.option("--plot", type=click.Path(path_type=Path), metavar="FILE", help="draw it too, as .svg or .png")
@click.argument("directory", type=click.Path(path_type=Path))
def command(directory: Path, plot: Path | None) -> None:
    """Say what happened in the minutes before the snapshot in DIRECTORY: what was offered, what became of it, since
    when, and what to look at.
    """
    from asyncnic.bench import plots
    from asyncnic.recorder.explain import explain, read

    plots.check_plot(plot)
    story = read(directory)
    for line in explain(story):
        click.echo(line)
    if plot is not None:
        names = ("offered", "delivered", *(f"dropped.{stage}" for stage in story.facts["stats"]["dropped"]))
        rates = {name: story.rates(name) for name in names}
        result = {"experiment": "snapshot", "why": story.facts["why"], "seconds": story.seconds[1:], "rates": rates}
        plots.save({**result, "lag": story.of("lag")[1:]}, plot)
