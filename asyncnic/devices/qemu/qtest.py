"""QEMU's qtest protocol: port I/O, PCI configuration space and interrupt lines of a machine, over a socket.

`QtestLines` is the pure half: it splits what the socket brings into replies and changes of interrupt lines. `Qtest`
adds a blocking socket with a time-out, for a driver that is synchronous: one round trip takes about 30 microseconds.
This does not start QEMU (qemu_machine.py) and knows no NIC.

The protocol: a command a line, answered by a line "OK [value]" or "FAIL ..."; at any moment between, after
`irq_intercept_in`, "IRQ raise N" or "IRQ lower N" (qtest section of QEMU's documentation).
"""

import socket
from collections import deque

_LETTER = {1: "b", 2: "w", 4: "l"}
_CONFIG_ADDRESS = 0xCF8
_CONFIG_DATA = 0xCFC
_CONFIG_ENABLE = 1 << 31
_MAX_LINE = 4096


class QtestError(Exception):
    """The socket is closed, silent for longer than its time-out, or speaks another language."""


class QtestRefused(QtestError):  # noqa: N818 - it says what the machine did with a command
    """The machine answered "FAIL"; it is there and the socket is in step."""


class QtestLines:
    """Sans-I/O half: octets in, replies and interrupt lines out.

    `raised` holds the numbers of the lines that are high now; `raises` counts every change to high.
    """

    __slots__ = ("_rest", "raised", "raises", "replies")

    def __init__(self) -> None:
        self._rest = b""
        self.replies: deque[str] = deque()
        self.raised: set[int] = set()
        self.raises = 0

    def feed(self, octets: bytes) -> None:
        """Take what the socket brought.

        Raises:
            QtestError: a line that is neither a reply nor an interrupt, or has no end.
        """
        *lines, self._rest = (self._rest + octets).split(b"\n")
        if len(self._rest) > _MAX_LINE:
            raise QtestError("a line without an end")
        for line in lines:
            self._line(line.decode("ascii", "replace"))

    def _line(self, line: str) -> None:
        words = line.split()
        if len(words) == 3 and words[0] == "IRQ" and words[2].isdecimal():
            number = int(words[2])
            if words[1] == "raise":
                self.raised.add(number)
                self.raises += 1
            else:
                self.raised.discard(number)
        elif words and words[0] in ("OK", "FAIL"):
            self.replies.append(line)
        else:
            raise QtestError(f"unexpected line {line[:60]!r}")


class Qtest:
    """A machine's ports and interrupt lines through a connected stream socket, which this object owns.

    Args:
        sock: connected to QEMU's qtest character device.
        timeout: seconds that one command may take before the machine counts as dead.

    Every method raises `QtestError` once the machine is gone or does not answer.
    """

    def __init__(self, sock: socket.socket, timeout: float = 5.0) -> None:
        self._sock = sock
        self._lines = QtestLines()
        self._deferred = b""
        self._owed = 0
        sock.settimeout(timeout)

    @property
    def raises(self) -> int:
        """How often any intercepted line has gone high, as far as the socket has been read."""
        return self._lines.raises

    @property
    def raised(self) -> bool:
        """True while an intercepted line is high, as far as the socket has been read."""
        return bool(self._lines.raised)

    def fileno(self) -> int:
        """The socket: readable when an interrupt line has changed."""
        return self._sock.fileno()

    def set_timeout(self, seconds: float) -> None:
        """Change how long a command may take before the machine counts as dead."""
        self._sock.settimeout(seconds)

    def close(self) -> None:
        """Close the socket. Idempotent."""
        self._sock.close()

    def command(self, text: str) -> list[str]:
        """Send one command and wait for its reply: the words after "OK".

        Raises:
            QtestRefused: the machine answered "FAIL".
        """
        self._owed += 1
        request, self._deferred = self._deferred + text.encode("ascii") + b"\n", b""
        replies = self._lines.replies
        try:
            self._sock.sendall(request)
            while len(replies) < self._owed:
                self._receive()
        except OSError as error:
            raise QtestError(str(error) or type(error).__name__) from error
        answers = [replies.popleft() for _ in range(self._owed)]
        self._owed = 0
        for answer in answers:
            if not answer.startswith("OK"):
                raise QtestRefused(f"{text!r} answered {answer[:60]!r}")
        return answers[-1].split()[1:]

    def drain(self) -> None:
        """Take in whatever interrupt lines have said, without waiting."""
        timeout = self._sock.gettimeout()
        self._sock.settimeout(0)
        try:
            while True:
                self._receive()
        except BlockingIOError:
            pass
        except OSError as error:
            raise QtestError(str(error)) from error
        finally:
            self._sock.settimeout(timeout)

    def _receive(self) -> None:
        octets = self._sock.recv(65536)
        if not octets:
            raise QtestError("the machine closed its socket")
        self._lines.feed(octets)

    def read_port(self, port: int, width: int) -> int:
        """`width` octets (1, 2 or 4) from an I/O port."""
        words = self.command(f"in{_LETTER[width]} {port:#x}")
        try:
            return int(words[0], 16)
        except (IndexError, ValueError):
            raise QtestError(f"no number in the answer to a read of port {port:#x}") from None

    def write_port(self, port: int, width: int, value: int) -> None:
        """Write `width` octets (1, 2 or 4) to an I/O port."""
        self.command(f"out{_LETTER[width]} {port:#x} {value:#x}")

    def defer_port(self, port: int, width: int, value: int) -> None:
        """Write to an I/O port together with the next command, before it: a round trip less."""
        self._deferred += f"out{_LETTER[width]} {port:#x} {value:#x}\n".encode("ascii")
        self._owed += 1

    def read_config(self, device: int, register: int, width: int) -> int:
        """`width` octets at `register` of the configuration space of `device`, function 0, on bus 0."""
        self._select(device, register)
        return self.read_port(_CONFIG_DATA + (register & 3), width)

    def write_config(self, device: int, register: int, width: int, value: int) -> None:
        """Write `width` octets to configuration space, as in `read_config`."""
        self._select(device, register)
        self.write_port(_CONFIG_DATA + (register & 3), width, value)

    def _select(self, device: int, register: int) -> None:
        self.defer_port(_CONFIG_ADDRESS, 4, _CONFIG_ENABLE | device << 11 | register & 0xFC)

    def intercept_interrupts(self, path: str) -> bool:
        """Have the input lines of the interrupt controller at `path` told to us. False where the machine has none."""
        try:
            self.command(f"irq_intercept_in {path}")
        except QtestRefused:
            return False
        return True
