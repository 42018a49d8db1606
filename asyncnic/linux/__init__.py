"""What is asked of the Linux kernel, each thing in one place: rtnetlink, TUN, bpf(2), namespaces, privileges, threads.

May import errors and logs alone. It knows ioctls and system calls, and nothing of chips, frames or settings.
"""
