"""Capabilities as the kernel tells them."""

import subprocess
import sys

from asyncnic.linux.privileges import NET_ADMIN, NET_RAW, bounded_to, has_capability


def test_root_of_its_namespace_has_it_and_nobody_has_not() -> None:
    assert has_capability(NET_ADMIN)
    program = "from asyncnic.linux.privileges import *; print(has_capability(NET_ADMIN))"
    command = ["unshare", "--user", "--map-user=1000", sys.executable, "-c", program]
    assert subprocess.run(command, capture_output=True, text=True, check=True).stdout == "False\n"


def test_root_whose_bounding_set_has_one_capability_is_bounded_to_it() -> None:
    assert not bounded_to(NET_RAW)
    program = "from asyncnic.linux.privileges import *; print(bounded_to(NET_RAW), bounded_to(NET_ADMIN))"
    only = ["setpriv", "--bounding-set=-all,+net_raw", "--inh-caps=-all"]
    said = subprocess.run([*only, sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert said.stdout == "True False\n"
