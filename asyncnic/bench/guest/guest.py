"""A guest: Debian's kernel under emulation with a PCnet NIC, and an agent that runs commands in it.

Its processor is emulated (TCG), about twenty times slower than the one it runs on: rates measured in it compare with
each other and with nothing else. It is no sandbox, and holds no state beyond its RAM.
"""

import base64
import os
import socket
import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from types import TracebackType
from typing import Self

from asyncnic.bench.guest.cpio import Entry
from asyncnic.bench.guest.image import Image
from asyncnic.devices.qemu.process import QemuProcess

NIC_ADDRESS = "0000:00:03.0"
_NIC_SLOT = 3
_COMMAND_LINE = (
    "console=ttyS0 quiet nokaslr mitigations=off no_timer_check tsc=reliable random.trust_cpu=on"
    " 8250.nr_uarts=1 panic=-1"
)
_BOOT_SECONDS = 120.0


class GuestError(Exception):
    """The guest ended, or did not answer in time. The message has the end of its console."""


@dataclass(frozen=True, slots=True)
class GuestResult:
    """What a command left: its exit code, and standard output and error together."""

    code: int
    output: str


class Guest:
    """A booted guest; use it as a context manager.

    Args:
        image: what to boot.
        netdev: QEMU's back end of the NIC, as `-netdev` takes it, "{fd}" standing for `wire`; empty: no NIC.
        wire: the descriptor of that back end.
        mac: the NIC's address.
        memory: MiB.
        processors: how many.
        huge_pages: 2 MiB pages to reserve at boot, for DMA memory.
        files: what its root file system has besides.

    Entering takes about 10 s, most of it for unpacking.

    Raises:
        DeviceError: QEMU is missing.
        GuestError: it does not boot.
    """

    def __init__(
        self,
        image: Image,
        *,
        netdev: str = "",
        wire: int = -1,
        mac: str = "52:54:00:12:34:56",
        memory: int = 1024,
        processors: int = 1,
        huge_pages: int = 8,
        files: Sequence[Entry] = (),
    ) -> None:
        self._image = image
        self._nic = (
            *("-netdev", f"{netdev.format(fd=wire)},id=wire"),
            *("-device", f"pcnet,netdev=wire,mac={mac},addr={_NIC_SLOT},romfile="),
        )
        self._wire = (wire,) if netdev else ()
        self._memory = memory
        self._processors = processors
        self._append = f"{_COMMAND_LINE} hugepages={huge_pages}"
        self._files = files
        self._rest = b""

    def __enter__(self) -> Self:
        with ExitStack() as ours:
            archive = self._memory_file(ours, "asyncnic-initrd")
            with open(archive, "wb", closefd=False) as file:
                file.writelines(self._image.archive(self._files))
            near, far = socket.socketpair()
            ours.callback(far.close)
            self._console = os.memfd_create("asyncnic-console")
            self._agent = near
            self._process = QemuProcess(
                [
                    *("-name", "guest,debug-threads=on"),  # so that the emulated processors' CPU time can be told apart
                    *("-machine", "pc", "-accel", "tcg,thread=multi", "-cpu", "max", "-no-reboot"),
                    *("-m", f"{self._memory}M", "-smp", str(self._processors)),
                    *("-kernel", str(self._image.kernel), "-initrd", f"/dev/fd/{archive}", "-append", self._append),
                    *("-chardev", f"file,id=console,path=/dev/fd/{self._console}", "-serial", "chardev:console"),
                    *("-chardev", f"socket,id=agent,fd={far.fileno()}", "-device", "virtio-serial-pci,romfile="),
                    *("-device", "virtserialport,chardev=agent,nr=1"),
                    *(self._nic if self._wire else ()),
                ],
                (archive, self._console, far.fileno(), *self._wire),
            )
        try:
            self._result(_BOOT_SECONDS)
        except GuestError:
            self.close()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    @property
    def pid(self) -> int:
        """Process id of the emulator."""
        return self._process.pid

    def run(self, command: str, timeout: float = 60.0) -> GuestResult:
        """Run a shell command in the guest and wait for it. What it leaves running must not keep its standard output.

        Raises:
            GuestError: the guest ended, or the command took longer than `timeout` seconds: the guest is of no use then.
        """
        try:
            self._agent.sendall(base64.b64encode(command.encode()) + b"\n")
        except OSError:
            raise GuestError(f"the guest is gone; its console ends: {self._console_end()}") from None
        return self._result(timeout)

    def check(self, command: str, timeout: float = 60.0) -> str:
        """Run a command that must succeed; returns its output.

        Raises:
            GuestError: as `run`, and when the exit code is not 0.
        """
        result = self.run(command, timeout)
        if result.code != 0:
            raise GuestError(f"{command!r} in the guest: exit code {result.code}: {result.output.strip()[-2000:]}")
        return result.output

    def put(self, path: str, octets: bytes) -> None:
        """Write a file of some kilobytes in the guest.

        Raises:
            GuestError: as `check`.
        """
        self.check(f"base64 -d >{path} <<END\n{base64.encodebytes(octets).decode()}END\n")

    def spawn(self, command: str, log: str) -> int:
        """Start a command in the background, its output to the file `log`; returns its process id in the guest."""
        return int(self.check(f"{{ {command}; }} >{log} 2>&1 </dev/null & echo $!"))

    def console(self) -> str:
        """What the kernel has written to its serial console."""
        return os.pread(self._console, 1 << 20, 0).decode("utf-8", "replace")

    def close(self) -> None:
        """Switch the guest off."""
        self._process.close()
        self._agent.close()
        os.close(self._console)

    @staticmethod
    def _memory_file(ours: ExitStack, name: str) -> int:
        descriptor = os.memfd_create(name)
        ours.callback(os.close, descriptor)
        return descriptor

    def _result(self, timeout: float) -> GuestResult:
        deadline = time.monotonic() + timeout
        while b"\n" not in self._rest:
            self._receive(deadline)
        header, _, self._rest = self._rest.partition(b"\n")
        code, size = (int(word) for word in header.split())
        while len(self._rest) < size:
            self._receive(deadline)
        output, self._rest = self._rest[:size], self._rest[size:]
        return GuestResult(code, output.decode("utf-8", "replace"))

    def _receive(self, deadline: float) -> None:
        remaining = deadline - time.monotonic()
        try:
            if remaining <= 0:
                raise TimeoutError
            self._agent.settimeout(remaining)
            octets = self._agent.recv(1 << 16)
        except TimeoutError:
            self._agent.shutdown(socket.SHUT_RDWR)  # its answer, when it comes, must not be taken for the next one's
            raise GuestError(f"no answer from the guest in time; its console ends: {self._console_end()}") from None
        except OSError:
            octets = b""
        if not octets:
            raise GuestError(f"the guest ended ({self._process.last_words()}); its console ends: {self._console_end()}")
        self._rest += octets

    def _console_end(self) -> str:
        return " | ".join(self.console().splitlines()[-5:])
