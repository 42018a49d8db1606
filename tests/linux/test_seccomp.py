"""seccomp: what is not named is refused, by the kernel that the tests run on."""

import pytest

from asyncnic.linux import seccomp
from asyncnic.service.system_calls import BASE
from tests.linux.confined import said

CONFINE = """
import threading
from asyncnic.linux import seccomp
from asyncnic.service.system_calls import BASE
"""


def test_this_machine_has_it() -> None:
    assert seccomp.missing() == ""


@pytest.mark.parametrize("processes", [False, True])
def test_calls_that_are_not_named_are_refused(processes: bool) -> None:
    program = f"""{CONFINE}
seccomp.restrict([*BASE, *(["fork"] if {processes} else [])], families=[socket.AF_INET], processes={processes})
def fork():
    if not os.fork():
        os._exit(0)
    os.wait()
thread = threading.Thread(target=lambda: print("thread"))
thread.start(), thread.join()
for what in (
    lambda: socket.socket(socket.AF_INET).close(),
    lambda: socket.socket(socket.AF_UNIX).close(),
    lambda: socket.socket(socket.AF_PACKET).close(),
    lambda: os.chroot("/"),
    lambda: os.execv("/bin/true", ["true"]),
    lambda: os.setuid(0),
    fork,
):
    print(tried(what))
"""
    refused = ["EPERM"] * 5
    assert said(program) == ["thread", "done", *refused, "done" if processes else "EPERM"]


def test_a_call_that_is_denied_is_not_there() -> None:
    program = f"""{CONFINE}
seccomp.deny(["getdents64"])
print(tried(lambda: os.listdir("/")))
print(open("/proc/self/status").read().partition("NoNewPrivs:")[2].split()[0])
"""
    assert said(program) == ["ENOSYS", "1"]


def test_every_thread_is_held() -> None:
    program = f"""{CONFINE}
go, results = threading.Event(), []
def late():
    go.wait()
    results.append(tried(lambda: os.chroot("/")))
thread = threading.Thread(target=late)
thread.start()
seccomp.restrict(BASE, families=[], processes=False)
go.set()
thread.join()
print(*results)
"""
    assert said(program) == ["EPERM"]


def test_names_are_named_once() -> None:
    assert len(set(BASE)) == len(BASE)
