"""The right to an interface: one at a time among processes, and gone with the one that had it."""

import os
import subprocess
import sys

import pytest

from asyncnic.errors import DeviceError
from asyncnic.linux.claim import Claim, claim

HOLDER = """
import sys
from asyncnic.linux.claim import Claim
held = Claim(sys.argv[1])
print("has it", flush=True)
input()
"""


def test_one_at_a_time_and_the_device_is_named(tap_name: str) -> None:
    first = claim(f"tap:{tap_name}", tap_name)
    with pytest.raises(DeviceError, match=f"^macvtap:{tap_name}: another process is attached to it"):
        claim(f"macvtap:{tap_name}", tap_name)
    first.release()
    first.release()
    claim(f"tap:{tap_name}", tap_name).release()


def test_it_is_for_one_interface_alone(tap_name: str) -> None:
    first = Claim(tap_name)
    Claim(f"{tap_name}x").release()
    first.release()


def test_it_ends_with_the_process_however_that_ends(tap_name: str) -> None:
    holder = subprocess.Popen([sys.executable, "-c", HOLDER, tap_name], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert holder.stdout is not None
    assert holder.stdout.readline() == b"has it\n"
    with pytest.raises(DeviceError):
        claim(f"tap:{tap_name}", tap_name)
    holder.kill()
    holder.communicate()
    claim(f"tap:{tap_name}", tap_name).release()


def test_what_fails_otherwise_is_raised_as_it_is_and_leaves_nothing_open() -> None:
    before = os.listdir("/proc/self/fd")
    with pytest.raises(OSError, match="too long"):
        claim("tap:long", "x" * 200)
    assert os.listdir("/proc/self/fd") == before
