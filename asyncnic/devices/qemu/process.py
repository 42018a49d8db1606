"""A QEMU of ours: found, started with descriptors to inherit, and gone when we are gone.

What it emulates is its caller's business: an empty PC around a chip (qemu_machine.py), or the lab's guest
(bench/guest).
"""

import os
import shutil
import subprocess
from collections.abc import Sequence
from contextlib import suppress
from functools import partial

from asyncnic.errors import DeviceError
from asyncnic.linux.parent import end_with

QEMU = "qemu-system-x86_64"
PACKAGE = "qemu-system-x86"

_STOP_SECONDS = 1.0
_COMMON = ("-no-user-config", "-nodefaults", "-display", "none", "-vga", "none")
_SANDBOX = ("-sandbox", "on,obsolete=deny,elevateprivileges=deny,spawn=deny,resourcecontrol=deny")


class QemuProcess:
    """A running QEMU without devices of its own choice, display, configuration files or the right to start programs.

    Args:
        arguments: what to emulate.
        descriptors: what the child inherits, under the same numbers.

    The child is killed when the *thread* that makes this ends: make it on one that lives as long as the child is
    wanted, not in an executor.

    Raises:
        DeviceError: QEMU is not installed, or cannot be started.
    """

    def __init__(self, arguments: Sequence[str], descriptors: Sequence[int]) -> None:
        program = shutil.which(QEMU)
        if program is None:
            raise DeviceError(f"{QEMU} not found: install the Debian package {PACKAGE}")
        # A pipe that nobody empties and that does not block: its first 64 KiB are enough to say why QEMU ended.
        self._errors, complaints = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        try:
            self._process = subprocess.Popen(
                [program, *_COMMON, *_SANDBOX, *arguments],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=complaints,
                pass_fds=descriptors,
                preexec_fn=partial(_die_with, os.getpid()),
            )
        except OSError as error:
            os.close(self._errors)
            raise DeviceError(f"{program} does not start: {error.strerror}") from error
        finally:
            os.close(complaints)

    @property
    def pid(self) -> int:
        """The child's process id."""
        return self._process.pid

    def ended(self) -> bool:
        """Whether the child has ended."""
        return self._process.poll() is not None

    def last_words(self) -> str:
        """The last line that QEMU wrote to its standard error, or how it ended. For error messages."""
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(0.5)
        try:
            lines = os.read(self._errors, 1 << 16).decode("utf-8", "replace").split("\n")
        except OSError:
            lines = []
        spoken = [line for line in lines if line.strip()]
        return spoken[-1].strip() if spoken else f"exit status {self._process.poll()}"

    def kill(self) -> None:
        """Have the child end; wait for nothing."""
        self._process.kill()

    def close(self) -> None:
        """Kill the child and wait for it. Idempotent."""
        if self._errors < 0:
            return
        self.kill()
        with suppress(subprocess.TimeoutExpired):  # stuck in the kernel: SIGKILL is pending, there is no more to do
            self._process.wait(_STOP_SECONDS)
        os.close(self._errors)
        self._errors = -1


def _die_with(parent: int) -> None:
    """In the child: be killed when the parent's thread ends, also when it ended before this was said."""
    if not end_with(parent):
        os._exit(1)
