"""The thin calls: what the kernel says no to becomes one line that names the fix."""

import ctypes
import errno
import os
import platform

import pytest

from asyncnic.errors import DeviceError, PrivilegeError
from asyncnic.lanes.assembler import R0, R1, Assembler
from asyncnic.linux import bpf
from asyncnic.linux.bpf import CounterMap, attach, load_program
from tests.linux.trying import try_program


class RefusingLibc:
    """bpf(2) that fails with one error."""

    def __init__(self, reason: int) -> None:
        self.reason = reason

    def syscall(self, *_: object) -> int:
        ctypes.set_errno(self.reason)
        return -1


def result_of(value: int) -> Assembler:
    code = Assembler()
    code.arithmetic(R0, "=", value)
    code.exit()
    return code


def test_counters_are_shared_words_until_closed() -> None:
    counters = CounterMap(4096 + 8)
    assert len(counters.words) == 513
    assert sum(counters.words) == 0
    counters.words[512] = 7
    counters.close()
    counters.close()
    assert counters.descriptor == -1


def test_a_program_is_run_on_a_frame() -> None:
    program = load_program(result_of(5).encode(), "five")
    result, nanoseconds = try_program(program, b"\0", 100)
    os.close(program)
    assert result == 5
    assert nanoseconds < 1_000_000_000


def test_the_verifiers_last_word_is_in_the_error() -> None:
    code = Assembler()
    code.load(R0, R1, 400, 8)
    code.exit()
    with pytest.raises(DeviceError, match=r"^eBPF program wrong: .*invalid bpf_context access off=400") as caught:
        load_program(code.encode(), "wrong")
    assert not isinstance(caught.value, PrivilegeError)
    assert "\n" not in str(caught.value)


def test_a_frame_that_the_kernel_does_not_take_is_not_run() -> None:
    program = load_program(result_of(5).encode(), "five")
    with pytest.raises(DeviceError, match="test run: Invalid argument"):
        try_program(program, bytes(70_000))
    os.close(program)


def test_a_missing_privilege_names_the_capability(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bpf, "_libc", RefusingLibc(errno.EPERM))
    with pytest.raises(PrivilegeError, match="CAP_BPF"):
        CounterMap(8)
    with pytest.raises(PrivilegeError, match="CAP_BPF"):
        load_program(result_of(0).encode(), "none")


def test_a_kernel_without_ebpf_is_a_device_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bpf, "_libc", RefusingLibc(errno.ENOSYS))
    with pytest.raises(DeviceError, match="map of counters: Function not implemented"):
        CounterMap(8)


def test_an_unknown_machine_is_a_device_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(platform, "machine", lambda: "pdp11")
    with pytest.raises(DeviceError, match="pdp11"):
        CounterMap(8)


def test_what_is_no_tap_takes_no_program() -> None:
    with open(os.devnull) as file, pytest.raises(DeviceError, match="takes no eBPF program"):
        attach(file.fileno(), bpf.TUNSETFILTEREBPF, bpf.DETACHED)
