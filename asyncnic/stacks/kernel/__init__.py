"""`--stack kernel`: Linux's own TCP/IP behind our driver, through a second TAP.

May import what `stacks` may. There is no protocol in here but what it takes to put TCP segments together.
"""

from asyncnic.stacks.stack import StackFactory, StackSettings, StackSpec


def _make(settings: StackSettings) -> StackFactory:
    from asyncnic.stacks.kernel.stack import KernelStack

    return lambda nic: KernelStack(nic, settings.kernel_if, settings.address)


SPEC = StackSpec(
    name="kernel",
    help="Linux, through --kernel-if",
    make=_make,
    alone="has one TAP to write to",
    makes_interface=True,
)
