"""The kernel's TCP with uvloop as a system of experiment 1: behind a TAP by the leanest relay there can be, and on a
veth pair as it is.
"""

import asyncio
import subprocess
import sys
import time

import uvloop

from asyncnic.bench import stream_wires, wires
from asyncnic.bench.kernel_udp import FAR, NEAR
from asyncnic.bench.nic_systems import TAP, processor_clock
from asyncnic.bench.stream import StreamCase, StreamRun
from asyncnic.bench.stream_nic import prepare
from asyncnic.bench.stream_trial import PORT, StreamTrial, popen
from asyncnic.errors import Failed

RELAY = "asyncnic.bench.stream_relay"


def tap_protocol(case: StreamCase) -> StreamRun:
    """Behind a TAP, a Protocol."""
    return _behind_relay(case, streams=False)


def tap_streams(case: StreamCase) -> StreamRun:
    """Behind a TAP, readers and writers."""
    return _behind_relay(case, streams=True)


def veth_protocol(case: StreamCase) -> StreamRun:
    """On a veth pair, a Protocol."""
    return _on_veth(case, streams=False)


def veth_streams(case: StreamCase) -> StreamRun:
    """On a veth pair, readers and writers."""
    return _on_veth(case, streams=True)


def _behind_relay(case: StreamCase, *, streams: bool) -> StreamRun:
    wires.make_tap(TAP)
    stream_wires.make_back()
    command = [sys.executable, "-m", RELAY, TAP, stream_wires.BACK]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as relay:
        try:
            assert relay.stdout is not None
            if relay.stdout.readline() != "ready\n":
                raise Failed("the relay between the TAPs did not start")
            wires.wait_until_up(TAP)
            stream_wires.wait_for_carrier(stream_wires.BACK)
            stream_wires.apart(TAP)
            clock = processor_clock(relay.pid)
            trial = StreamTrial(case, cpu=lambda: time.process_time() + time.clock_gettime(clock))
            return uvloop.run(_serve(trial, streams=streams))
        finally:
            relay.kill()


def _on_veth(case: StreamCase, *, streams: bool) -> StreamRun:
    with wires.FarSide(NEAR, FAR) as far:
        prepare(far, case)
        trial = StreamTrial(case, lambda command: far.run(popen, command))
        return uvloop.run(_serve(trial, streams=streams))


async def _serve(trial: StreamTrial, *, streams: bool) -> StreamRun:
    loop = asyncio.get_running_loop()
    server = await loop.create_server(trial.application(streams), wires.RECEIVER, PORT)
    try:
        return await trial.play()
    finally:
        server.close()
