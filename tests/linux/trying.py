"""Running an eBPF program on one frame in the kernel, without any device (BPF_PROG_TEST_RUN)."""

import ctypes
import struct
from typing import NamedTuple

from asyncnic.linux.bpf import ATTRIBUTE_OCTETS, call

_PROGRAM_TEST_RUN = 10


class Trial(NamedTuple):
    """What a program said of a frame, and how long it took in nanoseconds (mean of the repetitions)."""

    result: int
    nanoseconds: int


def try_program(program: int, frame: bytes, repeat: int = 1) -> Trial:
    """Run a program on one frame in the kernel, without any device.

    For socket filters the kernel takes an Ethernet header off the data first; on a TAP it does not. So an empty
    header is put before the frame, and the program finds the destination address at offset 0 in both places.

    Raises:
        DeviceError: the frame is empty or too long for the kernel.
    """
    data = ctypes.create_string_buffer(bytes(14) + frame, 14 + len(frame))
    attribute = struct.pack("=IIIIQQII", program, 0, len(data), 0, ctypes.addressof(data), 0, repeat, 0)
    buffer = ctypes.create_string_buffer(attribute, ATTRIBUTE_OCTETS)
    call(_PROGRAM_TEST_RUN, buffer, "test run")
    result, duration = struct.unpack_from("=I", buffer, 4)[0], struct.unpack_from("=I", buffer, 36)[0]
    return Trial(result, duration)
