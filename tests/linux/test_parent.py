"""A child that ends with its parent: killed with it, and told when it came too late."""

import os
import subprocess
import sys

PARENT = """
import os, subprocess, sys
child = '''
import os, sys, time
from asyncnic.linux.parent import end_with
print(os.getpid(), end_with(int(sys.argv[1])), flush=True)
time.sleep(3600)
'''
subprocess.run([sys.executable, "-c", child, str(os.getpid())])
"""


def test_it_is_killed_when_its_parent_is() -> None:
    parent = subprocess.Popen([sys.executable, "-c", PARENT], stdout=subprocess.PIPE, text=True)
    assert parent.stdout is not None
    number, in_time = parent.stdout.readline().split()
    assert in_time == "True"
    parent.kill()
    parent.communicate(timeout=60)  # the pipe is the child's too: it is at its end when both are gone
    assert not os.path.exists(f"/proc/{number}") or _is_dead(int(number))


def _is_dead(number: int) -> bool:
    """Whether it is waited for only."""
    with open(f"/proc/{number}/stat") as file:
        return file.read().rpartition(") ")[2].startswith("Z")


def test_one_that_comes_too_late_is_told() -> None:
    said = subprocess.run(
        [sys.executable, "-c", "from asyncnic.linux.parent import end_with; print(end_with(1 << 22))"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert said.stdout == "False\n"
