"""Capabilities as the kernel tells them."""

import subprocess
import sys

from asyncnic.linux.privileges import NET_ADMIN, has_capability


def test_root_of_its_namespace_has_it_and_nobody_has_not() -> None:
    assert has_capability(NET_ADMIN)
    program = "from asyncnic.linux.privileges import *; print(has_capability(NET_ADMIN))"
    command = ["unshare", "--user", "--map-user=1000", sys.executable, "-c", program]
    assert subprocess.run(command, capture_output=True, text=True, check=True).stdout == "False\n"
