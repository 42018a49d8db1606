"""`asyncnic completion`: a shell's completion script, to be sourced."""

import click
from click.shell_completion import get_completion_class


@click.command()
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
def command(shell: str) -> None:
    """Print the completion script of SHELL, as in: source <(asyncnic completion bash)"""
    from asyncnic.cli import asyncnic

    script = get_completion_class(shell)
    assert script is not None
    click.echo(script(asyncnic, {}, "asyncnic", "_ASYNCNIC_COMPLETE").source())
