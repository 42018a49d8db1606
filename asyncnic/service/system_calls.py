"""The system calls of a service that is up: what its sandbox allows (`asyncnic.service.sandbox`).

Names alone, as libseccomp knows them. They are what Python, both event loops, TLS and this program call, as far as
reading and what was refused to the tests have shown, and the siblings of those on other machines; what a file may be
opened for says Landlock. Not here on purpose: what makes processes, namespaces and mounts, loads code into the kernel,
looks into other processes, or changes who this one is.
"""

BASE = (
    # reading and writing
    *("read", "readv", "pread64", "preadv", "preadv2", "write", "writev", "pwrite64", "pwritev", "pwritev2", "lseek"),
    *("close", "close_range", "dup", "dup2", "dup3", "fcntl", "ioctl", "pipe", "pipe2", "sendfile", "flock"),
    *("select", "pselect6", "poll", "ppoll", "epoll_create", "epoll_create1", "epoll_ctl", "epoll_wait"),
    *("epoll_pwait", "epoll_pwait2", "eventfd", "eventfd2", "timerfd_create", "timerfd_settime", "timerfd_gettime"),
    # files
    *("open", "openat", "stat", "lstat", "fstat", "newfstatat", "statx", "statfs", "fstatfs", "access", "faccessat"),
    *("faccessat2", "readlink", "readlinkat", "getdents", "getdents64", "getcwd", "unlink", "unlinkat", "mkdir"),
    *("mkdirat", "rmdir", "rename", "renameat", "renameat2", "ftruncate", "fsync", "fdatasync", "umask", "chmod"),
    *("fchmod", "fchmodat", "utimensat", "fadvise64", "fallocate"),
    # sockets; socket(2) itself by family
    *("socketpair", "bind", "listen", "accept", "accept4", "connect", "shutdown", "getsockname", "getpeername"),
    *("getsockopt", "setsockopt", "sendto", "sendmsg", "sendmmsg", "recvfrom", "recvmsg", "recvmmsg"),
    # memory
    *("mmap", "munmap", "mremap", "mprotect", "madvise", "brk", "membarrier", "memfd_create", "mincore"),
    # threads, time, signals
    *("futex", "futex_waitv", "set_robust_list", "get_robust_list", "rseq", "set_tid_address", "arch_prctl"),
    *("sched_yield", "sched_getaffinity", "sched_getparam", "sched_getscheduler", "getcpu", "exit", "exit_group"),
    *("clock_gettime", "clock_getres", "clock_nanosleep", "nanosleep", "gettimeofday", "time", "times"),
    *("getitimer", "setitimer", "alarm", "pause", "restart_syscall", "kill", "tgkill", "sigaltstack", "signalfd4"),
    *("rt_sigaction", "rt_sigprocmask", "rt_sigreturn", "rt_sigpending", "rt_sigtimedwait", "rt_sigsuspend"),
    # who we are
    *("getpid", "getppid", "gettid", "getuid", "geteuid", "getgid", "getegid", "getresuid", "getresgid"),
    *("getgroups", "getpgrp", "getpgid", "getsid", "capget", "prctl", "getrlimit", "prlimit64", "getrusage"),
    *("sysinfo", "uname", "getrandom", "wait4", "waitid"),
)
"""Any service."""
NEVER = ("io_uring_setup",)
"""What no event loop may have: what is asked of a ring of it, no filter sees. Without it uvloop takes epoll."""
OF_PROCESSES = (
    *("execve", "vfork", "fork", "setsid", "setpgid", "chdir", "pidfd_open", "setrlimit"),
    *("capset", "seccomp", "landlock_create_ruleset", "landlock_add_rule", "landlock_restrict_self"),
)
"""One that starts workers, which go into a sandbox of their own."""
OF_NODES = ("mknod", "mknodat")
"""One whose device makes nodes."""
OF_BPF = ("bpf",)
"""One whose device has programs in the kernel."""
