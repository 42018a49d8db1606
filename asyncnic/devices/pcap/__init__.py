"""The chip's model on a capture file: the frames of a pcap or pcapng file, each once, without privilege or network.

May import what `devices` may. It writes no capture (`asyncnic.pcapng` does) and keeps no pace: frames come as fast as
they are taken.
"""

import os
from collections.abc import Sequence

from asyncnic.devices.backend import DEVICE, ONE_LANE, Backend, Finding
from asyncnic.devices.device import Device, DeviceOptions


def _parse(path: str) -> str:
    if not path or not path.isprintable():
        raise ValueError("must name a capture, like pcap:trace.pcapng")
    return path


def _check(path: str, options: DeviceOptions) -> Sequence[Finding]:
    readable = os.access(path, os.R_OK) and not os.path.isdir(path)
    fix = "" if readable else "name a capture that is there and may be read"
    return [Finding(f"{path}: may be read", readable, fix, DEVICE), ONE_LANE]


async def _open(path: str, options: DeviceOptions) -> Device:
    from asyncnic.devices.pcap.device import open_device

    return await open_device(path, options)


SPEC = Backend(
    name="pcap",
    argument="FILE",
    help="the frames of a capture, each once, then the end",
    parse=_parse,
    check=_check,
    open=_open,
)
