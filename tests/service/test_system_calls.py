"""The allow-list: every name is one that libseccomp knows, and what is kept out on purpose is out."""

import pyseccomp
import pytest

from asyncnic.service.system_calls import BASE, NEVER, OF_BPF, OF_NODES, OF_PROCESSES

ALL = (*BASE, *OF_PROCESSES, *OF_NODES, *OF_BPF)
KEPT_OUT = (
    *(
        "ptrace",
        "process_vm_readv",
        "process_vm_writev",
        "unshare",
        "setns",
        "mount",
        "umount2",
        "pivot_root",
        "chroot",
    ),
    *("init_module", "finit_module", "kexec_load", "reboot", "setuid", "setgid", "setresuid", "perf_event_open"),
    *("userfaultfd", "keyctl", "io_uring_setup", "io_uring_enter", "open_by_handle_at", "personality", "swapon"),
)


@pytest.mark.parametrize("name", [*ALL, *NEVER, *KEPT_OUT])
def test_the_library_knows_it(name: str) -> None:
    assert pyseccomp.resolve_syscall(pyseccomp.Arch.NATIVE, name) != -1


def test_each_is_named_once_and_what_is_kept_out_is_out() -> None:
    assert len(set(ALL)) == len(ALL)
    assert not set(ALL) & {*KEPT_OUT, *NEVER}
    assert not {"execve", "fork", "vfork", "bpf", "mknod"} & set(BASE)
