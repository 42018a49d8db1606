"""asyncnic's own TCP as a system of experiment 1: on a TAP and on a packet ring, direct and behind a queue; and the
kernel's TCP behind asyncnic's driver (`--stack kernel`). The loop is uvloop, the knobs are the defaults.
"""

import asyncio
from ipaddress import ip_interface

import uvloop

from asyncnic.bench import stream_wires, wires
from asyncnic.bench.kernel_udp import FAR, NEAR
from asyncnic.bench.nic_systems import TAP
from asyncnic.bench.stream import StreamCase, StreamRun
from asyncnic.bench.stream_trial import PORT, StreamTrial, popen
from asyncnic.devices.device import PacketOptions
from asyncnic.devices.host import SharedHost
from asyncnic.linux.thread import in_thread
from asyncnic.nic.opening import open_nic
from asyncnic.stacks.inet.services import PortService
from asyncnic.stacks.inet.skin import InetStack
from asyncnic.stacks.kernel.stack import KernelStack

_MAC = bytes.fromhex(wires.RECEIVER_MAC.replace(":", ""))


def tap_protocol(case: StreamCase) -> StreamRun:
    """Direct delivery on a TAP, a Protocol."""
    return uvloop.run(_tap(case, "direct", streams=False))


def tap_streams(case: StreamCase) -> StreamRun:
    """Direct delivery on a TAP, readers and writers."""
    return uvloop.run(_tap(case, "direct", streams=True))


def tap_queue(case: StreamCase) -> StreamRun:
    """Behind a queue on a TAP, a Protocol."""
    return uvloop.run(_tap(case, "queue", streams=False))


def packet_protocol(case: StreamCase) -> StreamRun:
    """Direct delivery off a packet ring, a Protocol."""
    return _packet(case, "direct", streams=False)


def packet_streams(case: StreamCase) -> StreamRun:
    """Direct delivery off a packet ring, readers and writers."""
    return _packet(case, "direct", streams=True)


def packet_queue(case: StreamCase) -> StreamRun:
    """Behind a queue off a packet ring, a Protocol."""
    return _packet(case, "queue", streams=False)


def stack_kernel(case: StreamCase) -> StreamRun:
    """Frames handed to the kernel through a second TAP, uvloop's Protocol behind it, in this process."""
    return uvloop.run(_kernel(case))


async def _tap(case: StreamCase, delivery: str, *, streams: bool) -> StreamRun:
    await in_thread(wires.make_tap, TAP)
    return await _serve(StreamTrial(case), f"tap:{TAP}", TAP, None, delivery, streams=streams)


def _packet(case: StreamCase, delivery: str, *, streams: bool) -> StreamRun:
    with wires.FarSide(NEAR, FAR) as far:
        prepare(far, case)
        trial = StreamTrial(case, lambda command: far.run(popen, command))
        return uvloop.run(_serve(trial, f"packet:{NEAR}", NEAR, SharedHost(), delivery, streams=streams))


def prepare(far: wires.FarSide, case: StreamCase) -> None:
    """Both ends of a veth pair as the case wants them."""
    stream_wires.set_offload(NEAR, case.offload)
    far.run(stream_wires.set_offload, FAR, case.offload)
    stream_wires.set_mtu(NEAR, case.mtu)
    far.run(stream_wires.set_mtu, FAR, case.mtu)


async def _serve(
    trial: StreamTrial, device: str, interface: str, host: SharedHost | None, delivery: str, *, streams: bool
) -> StreamRun:
    service = PortService(trial.application(streams), PORT, True)
    async with open_nic(device, mac=_MAC, delivery=delivery, packet=PacketOptions(host=host)) as nic:
        address = ip_interface(f"{wires.RECEIVER}/{wires.PREFIX}")
        stack = InetStack(nic, (address,), (service,), host=host)
        await stack.set_up()
        running = asyncio.create_task(stack.run(), name="stack")
        await in_thread(wires.wait_until_up, interface)
        try:
            return await trial.play()
        finally:
            nic.stop()
            await running


async def _kernel(case: StreamCase) -> StreamRun:
    trial = StreamTrial(case)
    await in_thread(wires.make_tap, TAP)
    async with open_nic(f"tap:{TAP}", mac=_MAC) as nic:
        stack = KernelStack(nic, stream_wires.BACK, (ip_interface(f"{wires.RECEIVER}/32"),))
        await stack.set_up()
        running = asyncio.create_task(stack.run(), name="stack")
        await in_thread(wires.wait_until_up, TAP)
        await in_thread(stream_wires.wait_for_carrier, stream_wires.BACK)
        await in_thread(stream_wires.apart, TAP)
        loop = asyncio.get_running_loop()
        server = await loop.create_server(trial.application(False), wires.RECEIVER, PORT)
        try:
            return await trial.play()
        finally:
            server.close()
            nic.stop()
            await running
