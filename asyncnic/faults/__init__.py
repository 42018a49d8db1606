"""Faults to rehearse: what can go wrong on a wire and in a chip, put between any device and its driver, and counted.

    async with asyncnic.open_nic("tap:asyncnic0", faults=("drop=1%", "delay=5ms", "seed=7")) as nic:
        ...

A fault is "NAME=AMOUNT" (plan.py has the table). Faults of the wire (frames.py) change frames before the chip gets
them; faults of the ring (ring.py) what the chip writes into descriptors; faults of the chip (chip.py) its registers
and its interrupt. `inject` puts them together around an open device, which does not know of it: without faults nothing
is in the way of a frame. Chance comes from a seed, so that a rehearsal can be repeated.
"""

from asyncnic.faults.device import Injected, inject, injected_into
from asyncnic.faults.plan import KINDS, Fault, described, fault, plan

__all__ = ["KINDS", "Fault", "Injected", "described", "fault", "inject", "injected_into", "plan"]
