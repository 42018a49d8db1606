"""The command line: finds the command, turns every failure into one line and an exit code.

There is no logic of a command here. Each is a file in `asyncnic.commands` with one click command called `command`,
imported when it is asked for, so that ``asyncnic --help`` is quick; a command returns its exit code (None is 0) or
raises.
"""

import importlib
import os
import sys
from collections.abc import Sequence

import click

from asyncnic.errors import DeviceError, Failed, PrivilegeError, SettingsError

COMMANDS = {
    "run": "Run the service.",
    "demo": "Flood a service in a network of its own and show where every frame went.",
    "bench": "Measure asyncnic, and what a user would pick instead.",
    "check": "Say what is missing for `run`, and the fix.",
    "stats": "Show the counters of a running service.",
    "top": "Watch a running service, and turn its knobs.",
    "tune": "Show or change the knobs of a running service.",
    "capture": "Write frames of a running service to a pcapng file.",
    "snapshot": "Write what the flight recorder of a running service has.",
    "explain": "Say what happened before a snapshot.",
    "ring": "Show the descriptors of a running service.",
    "regs": "Show the chip's registers of a running service.",
    "sockets": "Show the endpoints and connections of a running service.",
    "announce": "Have a running service announced by BGP while it is ready.",
    "bind": "Hand a PCI NIC to uio_pci_generic.",
    "unbind": "Give a PCI NIC back to the kernel's driver.",
    "completion": "Print the completion script of a shell.",
}
"""Every command with its line in ``asyncnic --help``; command NAME is `asyncnic.commands.NAME.command`."""

DONE, FAILED, USAGE, PRIVILEGE, DEVICE = 0, 1, 2, 3, 4
"""Exit codes: done, failed while running, usage or configuration, privilege missing, device absent or lost."""


class Commands(click.Group):
    """The group of all commands, imported one at a time."""

    def list_commands(self, context: click.Context) -> list[str]:
        """Names in the order of the table."""
        return list(COMMANDS)

    def get_command(self, context: click.Context, name: str) -> click.Command | None:
        """Import and return command `name`; None when there is none of that name."""
        if name not in COMMANDS:
            return None
        found = importlib.import_module(f"asyncnic.commands.{name}").command
        assert isinstance(found, click.Command)
        return found

    def format_commands(self, context: click.Context, formatter: click.HelpFormatter) -> None:
        """The list in --help, from the table: nothing is imported for it."""
        with formatter.section("Commands"):
            formatter.write_dl(list(COMMANDS.items()))


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="asyncnic", message="%(prog)s %(version)s")
def asyncnic() -> None:
    """A PCnet32 driver in user space: frames straight from the descriptor ring to a coroutine, every one accounted
    for."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command line (the process's own when `arguments` is None) and return its exit code."""
    _open_what_is_closed()
    try:
        result = asyncnic.main(args=arguments, prog_name="asyncnic", standalone_mode=False)
        sys.stdout.flush()
    except click.exceptions.NoArgsIsHelpError as error:
        error.show()
        return USAGE
    except BrokenPipeError:
        # Whoever read our output has left; what is still buffered must not fail again at exit.
        sys.stdout = open("/dev/null", "w")  # noqa: SIM115
        return FAILED
    except (Exception, KeyboardInterrupt) as error:
        message, code = explain(error)
        print(f"asyncnic: {message}", file=sys.stderr)
        return code
    return result if isinstance(result, int) else DONE


def _open_what_is_closed() -> None:
    """Give standard input, output and error to /dev/null where they are closed: else the next file or socket that is
    opened gets their number, and what is written to them.
    """
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        try:
            os.fstat(number)
        except OSError:
            os.set_inheritable(os.open(os.devnull, os.O_RDWR), True)  # the lowest that is free is `number`
            if getattr(sys, name) is None:
                setattr(sys, name, open(number, "w" if number else "r", closefd=False))  # noqa: SIM115


def explain(error: BaseException) -> tuple[str, int]:
    """The line and the exit code for `error`."""
    if isinstance(error, click.ClickException):
        return _one_line(error.format_message()), USAGE
    if isinstance(error, SettingsError):
        return _one_line(str(error)), USAGE
    if isinstance(error, PrivilegeError):
        return _one_line(str(error)), PRIVILEGE
    if isinstance(error, DeviceError):
        return _one_line(str(error)), DEVICE
    if isinstance(error, Failed):
        return _one_line(str(error)), FAILED
    if isinstance(error, KeyboardInterrupt | click.Abort):
        return "interrupted", FAILED
    return _one_line(f"unexpected {type(error).__name__}: {error}"), FAILED


def _one_line(text: str) -> str:
    return " ".join(text.split())
