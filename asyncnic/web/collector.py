"""The asyncnic_* metrics: fresh families from plain integers, at every scrape.

Names, types and labels are a contract with dashboards and alerts. Every value a label can have is there from the first
scrape on, at 0, and none comes off the wire. HELP gives the name under which ethtool and ip know the same number.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from itertools import chain

from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    InfoMetricFamily,
    Metric,
)
from prometheus_client.registry import Collector

from asyncnic.nic.counters import Counters
from asyncnic.nic.histogram import Histogram
from asyncnic.nic.ledger import LOST_WITH_DEVICE, SHED, Accounts
from asyncnic.service.observed import Observed
from asyncnic.settings.knobs import KNOBS, Knobs, by_lane
from asyncnic.version import build_info
from asyncnic.web.of_sinks import sink_families

# What the kernel's queue is called is the device's to say, and the ledger always has it.
DROP_REASONS: Mapping[str, tuple[str, ...]] = {
    "kernel": (),
    "card": ("miss", LOST_WITH_DEVICE),
    "driver": ("error_descriptor", "buffer", "length", "no_start", "oversize", "reset", "source_limit", "worker_lost"),
    "queue": ("newest", "oldest"),
}
_WORDS = "; ".join(
    f"{name} {', '.join(f'{place} {word}' for place, word in enumerate(knob.choices))}"
    for name, knob in KNOBS.items()
    if knob.choices
)
NUMBERS = "numbers_"
"""What those begin with that say what became of exporters' numbers: by protocol and outcome."""
TCP = "tcp_"
"""What the names of a stack's events begin with that are TCP's."""
ADDRESS_STATES = ("tentative", "preferred", "duplicate")
RECEIVE_ERRORS = ("crc", "framing", "overflow", "buffer", "length")


class NicCollector(Collector):
    """Reads `observed` into metric families."""

    def __init__(self, observed: Observed) -> None:
        self._observed = observed

    def collect(self) -> list[Metric]:
        """All families, their values read at one moment: call it on the loop's thread."""
        accounts = self._observed.nic.accounts()
        parts = self._ledger(accounts), self._work(), self._state(), self._stack(), self._facts(accounts)
        return [*chain(*parts), *sink_families(self._device, self._observed.sinks())]

    @property
    def _device(self) -> str:
        return self._observed.nic.device.name

    def _ledger(self, accounts: Accounts) -> Iterator[Metric]:
        total, device = accounts.total, self._device
        yield self._counter("offered_frames", "Frames that the wire offered.", total.offered)
        by_lane = ("device", "lane")
        frames = CounterMetricFamily(
            "asyncnic_delivered_frames", "Frames handed to the stack (rx_packets).", labels=by_lane
        )
        octets = CounterMetricFamily(
            "asyncnic_delivered_bytes", "Octets handed to the stack (rx_bytes).", labels=by_lane
        )
        dropped = CounterMetricFamily(
            "asyncnic_dropped_frames",
            "Frames lost, by where and why: kernel = queue of the TAP (its tx_dropped) or packet ring (tp_drops) full, "
            "or shed by a rule, card = no free descriptor (rx_missed_errors, MISS) or lost with the device, driver = "
            "unusable descriptor (rx_errors) or beyond --source-limit, queue = delivery queue (rx_dropped). What is "
            "shed is in no lane.",
            labels=("device", "stage", "reason", "lane"),
        )
        waiting = GaugeMetricFamily(
            "asyncnic_lane_waiting_frames",
            "Frames in a lane's queue of the TAP, or its packet ring: not offered yet. Only where they are counted.",
            labels=by_lane,
        )
        for lane, account in accounts.lanes.items():
            frames.add_metric((device, lane), account.ledger.delivered)
            octets.add_metric((device, lane), account.delivered_bytes)
            for stage, reasons in DROP_REASONS.items():
                found = account.ledger.dropped.get(stage, {})
                for reason, count in {**dict.fromkeys(reasons, 0), **found}.items():
                    dropped.add_metric((device, stage, reason, lane), count)
            if account.waiting is not None:
                waiting.add_metric((device, lane), account.waiting)
        dropped.add_metric((device, "kernel", SHED, ""), accounts.shed_total)
        yield from (frames, octets, dropped, waiting)
        text = "Frames that a rule of --shed dropped before they were queued, by rule; in dropped_frames too."
        yield self._counters("shed_frames", text, "rule", accounts.shed)
        text = "Times that a fault which is rehearsed (--fault) has happened, by its name."
        yield self._counters("faults_injected", text, "fault", accounts.injected)
        text = "Frames that the address filter did not let in: not for this station, not lost."
        yield self._counter("filtered_frames", text, total.filtered)
        text = "Frames off the wire that stand in a ring or in the delivery queue: offered, and nowhere else yet."
        yield self._gauge("in_flight_frames", text, total.in_flight)

    def _work(self) -> Iterator[Metric]:
        nic = self._observed.nic
        yield self._counters(
            "receive_errors",
            "Errors in receive descriptors: crc (rx_crc_errors), framing (rx_frame_errors), overflow (rx_over_errors, "
            "rx_fifo_errors), buffer, length (rx_length_errors).",
            "error",
            {**dict.fromkeys(RECEIVE_ERRORS, 0), **nic.receive_errors},
        )
        yield self._counters(
            "transmit_errors",
            "Frames that were not sent (tx_errors, tx_dropped), by cause.",
            "error",
            nic.transmit_errors,
        )
        yield from self._plain(nic.counters)
        yield self._histogram("burst_frames", "Frames in a burst.", nic.burst_frames)
        text = "Time from the start of a burst to its last frame delivered, one sample a burst."
        yield self._histogram("delivery_seconds", text, nic.delivery_seconds)

    def _state(self) -> Iterator[Metric]:
        observed, nic, device = self._observed, self._observed.nic, self._device
        rings = GaugeMetricFamily(
            "asyncnic_ring_descriptors",
            "Descriptors by owner; receive descriptors of the host hold frames not yet delivered.",
            labels=("device", "ring", "owner"),
        )
        for ring, owners in nic.ring_descriptors().items():
            for owner, count in owners.items():
                rings.add_metric((device, ring, owner), count)
        yield rings
        yield self._gauge("queue_frames", "Frames in the delivery queue; direct delivery has none.", nic.queue_frames)
        text = "Frames that the delivery queue may hold; 0 for direct delivery."
        yield self._gauge("queue_limit_frames", text, observed.queue_limit)
        yield self._gauge(
            "device_up", "1 while the device is attached, its chip runs and its link is up.", int(nic.device_up)
        )
        text = "1 from the moment the service was told to end: it is not ready, and serves on for --drain at most."
        yield self._gauge("draining", text, int(observed.draining))
        yield self._gauge("workers", "Processes that share the frames.", observed.workforce.count)
        text = "Times that one of several workers ended without being asked to, and was started again."
        yield self._counter("worker_restarts", text, observed.workforce.restarts)
        text = "Snapshots that the flight recorder has made, by cause; failed: they could not be written."
        yield self._counters("snapshots", text, "cause", observed.snapshots)
        yield self._histogram("loop_lag_seconds", "How late a timer of 10 ms fires.", observed.loop_lag)

    def _stack(self) -> Iterator[Metric]:
        observed, device = self._observed, self._device
        packets = CounterMetricFamily(
            "asyncnic_stack_packets",
            "What the stack did with packets, by protocol and outcome.",
            labels=("device", "protocol", "outcome"),
        )
        for protocol, outcomes in observed.outcomes().items():
            for outcome, count in outcomes.items():
                packets.add_metric((device, protocol, outcome), count)
        yield packets
        text = "What the stack met with that is no frame's end, such as neighbours that did not answer (unresolved)."
        events = observed.events()
        of_tcp = {name: count for name, count in events.items() if name.startswith(TCP)}
        of_numbers = {name: count for name, count in events.items() if name.startswith(NUMBERS)}
        rest = {name: count for name, count in events.items() if name not in of_tcp | of_numbers}
        yield self._counters("stack_events", text, "event", rest)
        numbers = CounterMetricFamily(
            "asyncnic_sequence_numbers",
            "Numbers that exporters gave their datagrams (NetFlow v9, sFlow), flows (NetFlow v5) or data records "
            "(IPFIX): received; missing, some of which came late; duplicate.",
            labels=("device", "protocol", "outcome"),
        )
        for name, count in of_numbers.items():
            numbers.add_metric((device, *name[len(NUMBERS) :].split("_")), count)
        yield numbers
        text = "What TCP met with: segments, retransmissions, resets, cookies, refusals by their reason."
        yield self._counters("tcp_events", text, "event", {name[len(TCP) :]: c for name, c in of_tcp.items()})
        tcp = observed.tcp()
        text = "TCP connections by state (RFC 9293 section 3.3.2, in lower case), handshakes under way among them."
        connections = GaugeMetricFamily("asyncnic_tcp_connections", text, labels=("device", "state"))
        for state, count in tcp.connections.items():
            connections.add_metric((device, state), count)
        yield connections
        yield self._gauge("tcp_memory_bytes", "Memory that TCP connections cost, buffers included.", tcp.memory)
        addresses = GaugeMetricFamily(
            "asyncnic_addresses",
            "The stack's own addresses: tentative (asked for), preferred (in use), duplicate (another host's).",
            labels=("device", "state"),
        )
        states = Counter(observed.addresses().values())
        for state in ADDRESS_STATES:
            addresses.add_metric((device, state), states[state])
        yield addresses
        text = "Times that the stack coroutine ended without being asked to, and was started again."
        yield self._counter("stack_failures", text, observed.stack.failures)
        text = "Times that the event loop stood still for longer than --stall-timeout; the log says where."
        yield self._counter("stack_stalls", text, observed.stack.stalls)

    def _facts(self, accounts: Accounts) -> Iterator[Metric]:
        observed, nic = self._observed, self._observed.nic
        facts = {
            "device": self._device,
            "backend": nic.device.backend,
            "chip": nic.chip,
            "mac": observed.mac,
            "stack": observed.settings.stack,
            "delivery": observed.settings.delivery,
        }
        yield InfoMetricFamily("asyncnic_nic", "What this NIC is.", value=facts)
        settings = GaugeMetricFamily(
            "asyncnic_setting",
            "The back-pressure knobs as they stand now; rx_budget and rx_usecs are those in force, which the service "
            "turns itself where rx_budget_auto or rx_usecs_auto is 1; times in seconds, words by their position: "
            f"{_WORDS}.",
            labels=("device", "name"),
        )
        for name, value in nic.knobs.as_numbers().items():
            settings.add_metric((self._device, name), value)
        yield settings
        lanes = GaugeMetricFamily(
            "asyncnic_lane_setting",
            "The lanes' own knobs as they stand now: tap_queue in frames, weight in bursts in a row (0: no limit).",
            labels=("device", "lane", "name"),
        )
        for lane, values in lane_values(nic.knobs, accounts.lanes).items():
            for name, value in values.items():
                lanes.add_metric((self._device, lane, name), value)
        yield lanes
        sandbox = {name: str(value).lower() for name, value in observed.sandbox.as_json().items()}
        yield InfoMetricFamily(
            "asyncnic_sandbox",
            "What the service has left itself of the system: its capabilities, no_new_privs, seccomp, and the version "
            "of Landlock (0: none).",
            value={"device": self._device, **sandbox},
        )
        yield InfoMetricFamily("asyncnic_build", "What this program is.", value=build_info())

    def _plain(self, counters: Counters) -> Iterator[Metric]:
        """The nic's own counters, as they are declared."""
        families: dict[str, CounterMetricFamily] = {}
        for metric, value in counters.shown():
            labels = {metric.label: metric.word} if metric.label else {}
            family = families.setdefault(
                metric.family,
                CounterMetricFamily(f"asyncnic_{metric.family}", metric.text, labels=("device", *labels)),
            )
            family.add_metric((self._device, *labels.values()), value)
        return iter(families.values())

    def _counter(self, name: str, text: str, value: float) -> Metric:
        family = CounterMetricFamily(f"asyncnic_{name}", text, labels=("device",))
        family.add_metric((self._device,), value)
        return family

    def _counters(self, name: str, text: str, label: str, values: Mapping[str, int]) -> Metric:
        family = CounterMetricFamily(f"asyncnic_{name}", text, labels=("device", label))
        for word, value in values.items():
            family.add_metric((self._device, word), value)
        return family

    def _gauge(self, name: str, text: str, value: float) -> Metric:
        family = GaugeMetricFamily(f"asyncnic_{name}", text, labels=("device",))
        family.add_metric((self._device,), value)
        return family

    def _histogram(self, name: str, text: str, histogram: Histogram) -> Metric:
        family = HistogramMetricFamily(f"asyncnic_{name}", text, labels=("device",))
        buckets: list[tuple[str, float]] = []
        below = 0
        for bound, count in zip((*histogram.bounds, float("inf")), histogram.counts, strict=True):
            below += count
            buckets.append(("+Inf" if bound == float("inf") else repr(bound), below))
        family.add_metric((self._device,), buckets=buckets, sum_value=histogram.sum)
        return family


def lane_values(knobs: Knobs, lanes: Iterable[str]) -> dict[str, dict[str, int]]:
    """The knobs that each of `lanes` has for itself."""
    queues, weights = by_lane(knobs.lane_queue), by_lane(knobs.lane_weight)
    return {lane: {"tap_queue": queues.get(lane, knobs.tap_queue), "weight": weights.get(lane, 0)} for lane in lanes}
