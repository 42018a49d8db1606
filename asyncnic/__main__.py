"""``asyncnic``, and ``python -m asyncnic``: the program's first lines.

A SIGHUP that comes while the rest is imported, the configuration is read and the device is opened would kill the
process, as long as nobody has said what else to do. So `run` holds it back from here on, until the service hears it.
What comes in the milliseconds in which the interpreter itself starts is the kernel's to answer; whoever starts the
service may have it ignored by then, which is left as it is.
"""

import signal
import sys


def main() -> int:
    """Run the command line of this process; the exit code."""
    if sys.argv[1:2] == ["run"]:
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGHUP})
    from asyncnic.cli import main as command_line

    return command_line()


if __name__ == "__main__":
    sys.exit(main())
