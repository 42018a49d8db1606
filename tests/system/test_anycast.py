"""Three nodes behind a router: restarted one after the other under traffic they lose nothing; one that is killed or
freezes loses what is counted, until its route is gone. The sum of the ledgers is what the router has sent.

FLEET_RATE is the traffic in datagrams a second.
"""

import os
import signal
import time
from collections.abc import Iterator

import pytest

from tests.system.fleet import QUEUE, Node, Traffic, at_rest, fleet, routed, ways
from tests.system.service import wait_until

pytestmark = pytest.mark.heavy

RATE = int(os.environ.get("FLEET_RATE", "2000"))
RING = 256
ALL = {1, 2, 3}


@pytest.fixture(scope="module")
def nodes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[Node]]:
    with fleet(tmp_path_factory.mktemp("fleet")) as found:
        yield found


def dropped(node: Node) -> int:
    return int(sum(node.ledger()["dropped"].values()))


def grown(before: list[int], now: list[int]) -> list[int]:
    return [count - then for then, count in zip(before, now, strict=True)]


def test_a_rolling_restart_loses_nothing(nodes: list[Node]) -> None:
    wait_until(lambda: ways() == ALL, "routes over all nodes")
    start, before, had = at_rest(nodes), routed(), sum(node.received() for node in nodes)
    with Traffic(RATE) as traffic:
        wait_until(lambda: min(grown(before, routed())) > 500, "all are sent to")
        for node in nodes:
            node.restart()
            wait_until(lambda: ways() == ALL, f"node {node.number} is back")
    offered = at_rest(nodes)
    received = sum(node.received() for node in nodes) - had
    print(f"rolling restart of three nodes at {RATE}/s: {traffic.sent} sent, {traffic.sent - received} lost, {offered}")
    assert traffic.refused == 0
    assert received == traffic.sent
    assert grown(start, offered) == grown(before, routed())
    assert sum(routed()) - sum(before) == traffic.sent


def test_a_killed_node_loses_what_was_sent_to_it_until_its_route_was_gone(nodes: list[Node]) -> None:
    wait_until(lambda: ways() == ALL, "routes over all nodes")
    killed, others = nodes[0], nodes[1:]
    start, before, had = at_rest(nodes), routed(), [node.received() for node in nodes]
    with Traffic(RATE) as traffic:
        wait_until(lambda: routed()[0] > before[0] + 500, "it is sent to")
        killed.service.kill()
        begun = time.monotonic()
        wait_until(lambda: ways() == {2, 3}, "its route is gone")
        detour = time.monotonic() - begun
        killed.service.wait()
        at_its_end = routed()[0]
        other = routed()[1]
        wait_until(lambda: routed()[1] > other + 500, "the others have its traffic")
        assert routed()[0] == at_its_end  # nothing is sent to it any more
    assert grown(start[1:], at_rest(others)) == grown(before, routed())[1:]
    received = grown(had, [node.received() for node in nodes])
    lost = traffic.sent - sum(received)
    print(f"killed at {RATE}/s: {lost} of {traffic.sent} lost, routed elsewhere after {detour:.1f} s")
    assert traffic.refused == 0
    assert received[1:] == grown(before, routed())[1:]
    assert lost == routed()[0] - before[0] - received[0]
    assert 0 <= lost <= detour * RATE + QUEUE + RING
    killed.start()
    wait_until(lambda: ways() == ALL, "it is back")


def test_a_frozen_node_loses_what_its_ledger_says(nodes: list[Node]) -> None:
    wait_until(lambda: ways() == ALL, "routes over all nodes")
    frozen = nodes[1]
    frozen.keep(100)
    start, before, had = at_rest(nodes), routed(), sum(node.received() for node in nodes)
    dropped_before = dropped(frozen)
    with Traffic(RATE) as traffic:
        wait_until(lambda: routed()[1] > before[1] + 500, "it is sent to")
        frozen.service.send_signal(signal.SIGSTOP)
        begun = time.monotonic()
        wait_until(lambda: ways() == {1, 3}, "its route is gone")
        detour = time.monotonic() - begun
        other = routed()[0]
        wait_until(lambda: routed()[0] > other + 500, "the others have its traffic")
    frozen.service.send_signal(signal.SIGCONT)  # what waited in its queue it takes still
    offered = at_rest(nodes)
    frozen.keep(QUEUE)
    lost = traffic.sent - (sum(node.received() for node in nodes) - had)
    print(f"frozen at {RATE}/s: {lost} of {traffic.sent} lost, routed elsewhere after {detour:.1f} s")
    assert traffic.refused == 0
    assert lost == dropped(frozen) - dropped_before > 0
    assert grown(start, offered) == grown(before, routed())
    assert sum(routed()) - sum(before) == traffic.sent
