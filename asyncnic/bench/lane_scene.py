"""One scene of the experiment about lanes, in a process and a network of its own: a service, a flood, and who asks.

The flood comes from an address of its own to an address of its own, whose neighbour is entered by hand; everybody else
uses others. So the flood never waits for a neighbour, and the neighbours that are asked for are asked for on the wire.
"""

import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from pyroute2 import IPRoute

from asyncnic.bench import probes, wires
from asyncnic.bench.load import LoadError
from asyncnic.bench.offer import Offer
from asyncnic.bench.running import RunningService, running_service
from asyncnic.errors import DeviceError, Failed, PrivilegeError
from asyncnic.linux.netns import enter_private_network

TAP = "lanes0"
ASKED, ASKED6, FLOODED = wires.RECEIVER, "2001:db8::2", "192.0.2.3"
HOST6 = "2001:db8::1"
FLOODER = "198.51.100.1"
SHED = "src:198.51.100.0/24"
LANES = ("control=arp,nd,icmp,icmp6", "dns=udp:53")
INTERVAL = 0.01
LONGEST = 600
WARM_UP_SECONDS = 0.3
QUIET_SECONDS = 0.1
SETTLE_SECONDS = 10.0


@dataclass(frozen=True, slots=True)
class Scene:
    """What is played. `lanes`: with them or without. `asked`: pings and DNS questions; `neighbours`: resolutions of
    each protocol. `seconds`: how long the flood is measured by itself.
    """

    lanes: bool
    seconds: float
    asked: int
    neighbours: int


def play_scene(scene: Scene) -> dict[str, Any]:
    """Play a scene in a process of its own and return what was seen.

    Raises:
        PrivilegeError: no private network. Failed: anything else went wrong.
    """
    timeout = 120 + 4 * scene.seconds + scene.asked * INTERVAL * 6 + scene.neighbours * 2 * probes.RESOLVE_SECONDS
    command = [sys.executable, "-m", "asyncnic.bench.lane_scene", json.dumps(asdict(scene))]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=timeout, check=False)
    except subprocess.TimeoutExpired:
        raise Failed(f"bench lanes: a scene did not end within {timeout:.0f} s") from None
    if done.returncode == 0:
        seen: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
        return seen
    lines = done.stderr.strip().splitlines()
    raise (PrivilegeError if done.returncode == 3 else Failed)(lines[-1] if lines else "bench lanes: a scene failed")


def _play(scene: Scene) -> dict[str, Any]:
    wires.loopback_up()
    with tempfile.TemporaryDirectory() as folder:
        config = Path(folder) / "asyncnic.toml"
        _write(config, scene, shed=False)
        with running_service(config) as service:
            _set_up()
            if scene.lanes and len(service.stats()["lanes"]) == 1:
                raise Failed("bench lanes: there is one lane: asyncnic check says why")
            seen = {"bulk": _bulk(service, scene.seconds), **_ask(scene)}
            if scene.lanes:
                seen["shed"] = _shed(service, scene, config)
            return {**seen, "law": _law(service)}


def _write(config: Path, scene: Scene, *, shed: bool) -> None:
    settings = {
        "device": f"tap:{TAP}",
        "mac": wires.RECEIVER_MAC,
        "host_address": f"{wires.SENDER}/{wires.PREFIX}",
        "address": [f"{ASKED}/24", f"{ASKED6}/64", f"{FLOODED}/24"],
        "service": ["udp-discard:9", "asyncnic.bench.answers:Responder:53"],
        "lane": list(LANES) if scene.lanes else [],
        "shed": [SHED] if shed else [],
    }
    # What JSON writes of text and lists of text is TOML as well.
    config.write_text("".join(f"{name} = {json.dumps(value)}\n" for name, value in settings.items()))


def _set_up() -> None:
    """The host's side: an IPv6 address, and a flooder who needs to ask for nobody."""
    with IPRoute() as route:
        (index,) = route.link_lookup(ifname=TAP)
        route.addr("add", index=index, address=HOST6, prefixlen=64, flags=0x02)  # nodad
        route.addr("add", index=index, address=FLOODER, prefixlen=32)
        route.neigh("replace", dst=FLOODED, lladdr=wires.RECEIVER_MAC, ifindex=index, state=wires.NUD_PERMANENT)
        route.route("add", dst=f"{FLOODED}/32", oif=index, prefsrc=FLOODER, scope="link")
    for target in (ASKED, ASKED6):  # the service has found by now that its addresses are nobody else's
        if probes.resolve(TAP, target, 1).lost:
            raise Failed(f"bench lanes: {target} does not answer on a quiet wire")


@contextmanager
def _flood() -> Iterator[None]:
    """Flat out, for as long as the body takes."""
    offer = Offer([FLOODED, "--seconds", str(LONGEST), "--plain"])
    try:
        offer.go()
        time.sleep(WARM_UP_SECONDS)
        yield
    finally:
        offer.stop()


def _bulk(service: RunningService, seconds: float) -> dict[str, float]:
    """What the flood brings by itself: offered and delivered a second, the service's share of a CPU, and the share of
    the time in which it wanted one and had none.
    """
    with _flood():
        before, cpu, waited, start = service.stats(), service.cpu_seconds(), service.waited_seconds(), time.monotonic()
        time.sleep(seconds)
        after, cpu, waited = service.stats(), service.cpu_seconds() - cpu, service.waited_seconds() - waited
        took = time.monotonic() - start
    rates = {name: (after[name] - before[name]) / took for name in ("offered", "delivered")}
    return {**rates, "cpu": cpu / took, "waited": waited / took}


def _ask(scene: Scene) -> dict[str, Any]:
    """Everybody's answers, each with the flood beside it."""
    seen: dict[str, Any] = {}
    with _flood():
        seen["ping"] = probes.ping(ASKED, scene.asked, INTERVAL).as_json()
        seen["dns"] = probes.dns(ASKED, scene.asked, INTERVAL).as_json()
        seen["arp"] = probes.resolve(TAP, ASKED, scene.neighbours).as_json()
        seen["nd"] = probes.resolve(TAP, ASKED6, scene.neighbours).as_json()
    return seen


def _shed(service: RunningService, scene: Scene, config: Path) -> dict[str, Any]:
    """The flood goes on and its source is shed: the service's CPU time, and whether every frame was counted."""
    idle = _cpu_share(service, scene.seconds)
    _write(config, scene, shed=True)
    service.reload()
    shed_before = service.stats()["shed"].get(SHED, 0)
    offer = Offer([FLOODED, "--seconds", str(scene.seconds + 2 * WARM_UP_SECONDS), "--plain"])
    try:
        offer.go()
        time.sleep(WARM_UP_SECONDS)
        busy = _cpu_share(service, scene.seconds)
        sent = offer.result()
    finally:
        offer.stop()
    counted = _quiet(service)["shed"][SHED] - shed_before
    return {"idle_cpu": idle, "cpu": busy, "offered": sent.rate, "sent": sent.datagrams, "counted": counted}


def _cpu_share(service: RunningService, seconds: float) -> float:
    before, start = service.cpu_seconds(), time.monotonic()
    time.sleep(seconds)
    return (service.cpu_seconds() - before) / (time.monotonic() - start)


def _law(service: RunningService) -> dict[str, int]:
    """Frames unaccounted for once all is quiet: in each lane, and in all."""
    stats = _quiet(service)
    return {name: _imbalance(lane) for name, lane in stats["lanes"].items()} | {"all": _imbalance(stats)}


def _quiet(service: RunningService) -> dict[str, Any]:
    """The statistics once nothing moves any more."""
    end = time.monotonic() + SETTLE_SECONDS
    before, now = None, service.stats()
    while (now["offered"] != before or now["in_flight"]) and time.monotonic() < end:
        time.sleep(QUIET_SECONDS)
        before, now = now["offered"], service.stats()
    return now


def _imbalance(ledger: dict[str, Any]) -> int:
    accounted = ledger["delivered"] + ledger["filtered"] + ledger["in_flight"] + sum(ledger["dropped"].values())
    return int(ledger["offered"] - accounted)


def main(argument: str) -> int:
    """The scene's process: enter a namespace, play, print what was seen as one line of JSON."""
    try:
        enter_private_network()
        seen = _play(Scene(**json.loads(argument)))
    except PrivilegeError as error:
        print(error, file=sys.stderr)
        return 3
    except (DeviceError, Failed, LoadError, OSError) as error:
        print(error, file=sys.stderr)
        return 1
    print(json.dumps(seen), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
