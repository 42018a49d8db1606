"""Thin calls to the kernel: bpf(2) for programs and counters, and the two places of a TAP where a program is attached.

No knowledge of rules or of lanes. Counters live in an array map of one value that is mapped into this process, so
reading them costs no system call and needs no privilege afterwards; only making maps and programs needs CAP_BPF.
"""

import contextlib
import ctypes
import errno
import fcntl
import mmap
import os
import platform
import struct

from asyncnic.errors import DeviceError, PrivilegeError

# Places for programs (linux/if_tun.h).
TUNSETSTEERINGEBPF = 0x8004_54E0  # result: the queue, modulo their number; asked where there are two or more
TUNSETFILTEREBPF = 0x8004_54E1  # result: octets to keep; 0 drops before the frame is queued, counted in tx_dropped
DETACHED = -1

_BPF_SYSCALL = {"x86_64": 321, "aarch64": 280, "riscv64": 280, "loongarch64": 280, "s390x": 351, "ppc64le": 361}
_MAP_CREATE, _PROGRAM_LOAD = 0, 5
_MAP_TYPE_ARRAY = 2
_MAP_MMAPABLE = 0x400
_PROGRAM_TYPE_SOCKET_FILTER = 1
ATTRIBUTE_OCTETS = 128
_LOG_OCTETS = 1 << 20
_libc = ctypes.CDLL(None, use_errno=True)


class CounterMap:
    """64-bit words that programs and this process share.

    Args:
        octets: size, a multiple of 8; mapped in whole pages.

    `words` is a memoryview of 64-bit unsigned integers; an aligned word is read and written whole.

    Raises:
        PrivilegeError, DeviceError: the kernel makes no such map.
    """

    __slots__ = ("_memory", "descriptor", "words")

    def __init__(self, octets: int) -> None:
        attribute = struct.pack("=IIIII", _MAP_TYPE_ARRAY, 4, octets, 1, _MAP_MMAPABLE)
        self.descriptor = _bpf(_MAP_CREATE, attribute, "map of counters")
        try:
            self._memory = mmap.mmap(self.descriptor, -(-octets // mmap.PAGESIZE) * mmap.PAGESIZE)
        except OSError as error:
            os.close(self.descriptor)
            raise DeviceError(
                f"eBPF map of counters cannot be mapped: {error.strerror}; Linux 5.12 or newer"
            ) from error
        self.words = memoryview(self._memory)[:octets].cast("Q")

    def close(self) -> None:
        """Let go of the map; attached programs keep theirs. Idempotent. `words` cannot be used afterwards."""
        if self.descriptor >= 0:
            self.words.release()
            with contextlib.suppress(BufferError):  # a frame of some traceback has a slice: it goes with that
                self._memory.close()
            os.close(self.descriptor)
            self.descriptor = -1


def load_program(code: bytes, name: str) -> int:
    """Have the kernel verify a socket filter program; returns its descriptor, which the caller closes.

    Args:
        code: encoded instructions.
        name: at most 15 characters, shown by bpftool.

    Raises:
        PrivilegeError, DeviceError: not allowed, or refused by the verifier, whose last word is in the message.
    """
    license_name = ctypes.create_string_buffer(b"Apache-2.0")
    instructions = ctypes.create_string_buffer(code, len(code))

    def attribute(log: "ctypes.Array[ctypes.c_char] | None") -> bytes:
        return struct.pack(
            "=IIQQIIQII16s",
            _PROGRAM_TYPE_SOCKET_FILTER,
            len(code) // 8,
            ctypes.addressof(instructions),
            ctypes.addressof(license_name),
            1 if log else 0,
            len(log) if log else 0,
            ctypes.addressof(log) if log else 0,
            0,
            0,
            name.encode(),
        )

    try:
        return _bpf(_PROGRAM_LOAD, attribute(None), f"program {name}")
    except PrivilegeError:
        raise
    except DeviceError as error:
        # Verified again only for its log, which costs more than the verification itself.
        log = ctypes.create_string_buffer(_LOG_OCTETS)
        try:
            return _bpf(_PROGRAM_LOAD, attribute(log), f"program {name}")
        except DeviceError:
            said = [
                line for line in log.value.decode(errors="replace").splitlines() if not line.startswith("processed ")
            ]
            raise DeviceError(f"{error}: {said[-1] if said else 'the verifier says nothing'}") from error


def attach(tap: int, place: int, program: int) -> None:
    """Put `program` (or `DETACHED`) at `place` of the TAP in one step; frames see the old one or the new one.

    The TAP keeps the program itself, even beyond this process when it is persistent; the descriptor may be closed.

    Raises:
        DeviceError: the TAP takes no programs.
    """
    try:
        fcntl.ioctl(tap, place, struct.pack("=i", program))
    except OSError as error:
        raise DeviceError(f"this TAP takes no eBPF program: {error.strerror}; Linux 5.12 or newer") from error


def _bpf(command: int, attribute: bytes, what: str) -> int:
    return call(command, ctypes.create_string_buffer(attribute, ATTRIBUTE_OCTETS), what)


def call(command: int, attribute: "ctypes.Array[ctypes.c_char]", what: str) -> int:
    """bpf(2) with an attribute of `ATTRIBUTE_OCTETS`; `what` is named in errors. Returns what the kernel returns.

    Raises:
        PrivilegeError, DeviceError: not allowed, or refused.
    """
    number = _BPF_SYSCALL.get(platform.machine())
    if number is None:
        raise DeviceError(f"eBPF {what}: the number of bpf(2) on {platform.machine()} is not known here")
    while True:
        result: int = _libc.syscall(number, command, ctypes.byref(attribute), ATTRIBUTE_OCTETS)
        if result >= 0:
            return result
        reason = ctypes.get_errno()
        if reason == errno.EPERM:
            raise PrivilegeError(
                f"eBPF {what}: {os.strerror(reason)}; lanes and shedding need CAP_BPF (run as root, or --cap-add BPF)"
            )
        if reason not in (errno.EINTR, errno.EAGAIN):
            raise DeviceError(f"eBPF {what}: {os.strerror(reason)}")
