"""The dashboard: questions from top to bottom, each row one question.

Is it up? Where did every frame go? Is it overloaded? Which knob would help? What did the stack do? What does the
process cost? The metrics are those of `asyncnic run`; nothing is computed here that the service counts itself.
"""

from grafana_foundation_sdk.builders import dashboard as builders
from grafana_foundation_sdk.cog.builder import Builder
from grafana_foundation_sdk.models import dashboard as models
from panels import (
    BLACK,
    BLUE,
    DARK_RED,
    GREEN,
    GREY,
    ORANGE,
    PURPLE,
    RED,
    SOURCE,
    Query,
    facts,
    heat,
    lines,
    number,
)

UID = "asyncnic-overview"
ONE = 'instance=~"$instance",device=~"$device"'
PROCESS = 'instance=~"$instance",job=~"$job"'
STAGES = {"kernel": ORANGE, "card": RED, "driver": DARK_RED, "queue": PURPLE}
NOISE = ("Time", "Value", "__name__", "job", "endpoint", "namespace", "container")


def rate(metric: str, matchers: str = "", *, by: str = "") -> str:
    """Sum of the rates of `metric` over the chosen devices, split by the labels `by`."""
    selector = f"{ONE},{matchers}" if matchers else ONE
    grouping = f" by ({by}) " if by else ""
    return f"sum{grouping}(rate({metric}{{{selector}}}[$__rate_interval]))"


def total(metric: str) -> str:
    """Sum of a metric as it stands, a series for each device."""
    return f"sum by (instance, device) ({metric}{{{ONE}}})"


TCP_EVENTS = "asyncnic_tcp_events_total"
SEQUENCE = "asyncnic_sequence_numbers_total"
TROUBLE = "retransmitted|timeouts|out_of_order|duplicate|resets_in|resets_out|aborted"
UNACCOUNTED = " - ".join(
    total(metric)
    for metric in (
        "asyncnic_offered_frames_total",
        "asyncnic_delivered_frames_total",
        "asyncnic_dropped_frames_total",
        "asyncnic_filtered_frames_total",
        "asyncnic_in_flight_frames",
    )
)
"""The conservation law as PromQL: 0, a series for each device."""


def quantile(share: float, histogram: str) -> str:
    """Quantile of a histogram over the chosen devices."""
    return f"histogram_quantile({share}, {rate(histogram + '_bucket', by='le')})"


def mean(histogram: str) -> str:
    """Mean of a histogram over the chosen devices."""
    return f"{rate(histogram + '_sum')} / {rate(histogram + '_count')}"


def buckets(histogram: str) -> str:
    """How many observations fell in each bucket in each step of the graph."""
    return f"sum by (le) (increase({histogram}_bucket{{{ONE}}}[$__rate_interval]))"


def knob(name: str, how: str = "max") -> str:
    """A knob as it stands, over the chosen devices."""
    return f'{how}(asyncnic_setting{{{ONE},name="{name}"}})'


def up() -> list[Builder[models.Panel]]:
    """Is it up?"""
    return [
        number(
            "Device",
            f"min(asyncnic_device_up{{{ONE}}})",
            about="The NIC is attached and its ring is running. Lost: deleted, unplugged or taken by somebody else.",
            steps=((None, RED), (1, GREEN)),
            words={"0": "LOST", "1": "UP"},
        ),
        number(
            "Offered",
            rate("asyncnic_offered_frames_total"),
            about="Frames a second on the wire for us, whatever became of them.",
            steps=((None, BLUE),),
        ),
        number(
            "Delivered share",
            f"{rate('asyncnic_delivered_frames_total')} / ({rate('asyncnic_offered_frames_total')} > 0)",
            about="Delivered of offered. What is missing is in the next row, stage by stage.",
            unit="percentunit",
            steps=((None, RED), (0.9, ORANGE), (0.999, GREEN)),
        ),
        number(
            "Resets",
            f"sum(increase(asyncnic_device_resets_total{{{ONE}}}[$__range]))",
            about="Times the chip was reset and brought up again within the range shown. Counters go on over a reset.",
            steps=((None, GREEN), (1, ORANGE)),
        ),
        number(
            "Unaccounted",
            f"sum({UNACCOUNTED})",
            about="Offered minus delivered, dropped, filtered and in flight: always 0, or a counter lies.",
            steps=((None, RED), (0, GREEN), (1, RED)),
        ),
        number(
            "Running for",
            f"min(time() - process_start_time_seconds{{{PROCESS}}})",
            about="Since the youngest of the chosen processes started.",
            unit="s",
            steps=((None, BLUE),),
        ),
        number(
            "Draining",
            f"sum(asyncnic_draining{{{ONE}}})",
            about="Services that were told to end, and serve on until their senders have turned elsewhere (--drain).",
            steps=((None, GREEN), (1, ORANGE)),
        ),
        facts(
            "What is running",
            f"asyncnic_nic_info{{{ONE}}}",
            about="Back end, chip, address, stack and delivery of each NIC.",
            hide=NOISE,
            span=12,
        ),
        facts(
            "Build",
            f"asyncnic_build_info{{{PROCESS}}}",
            about="Version of asyncnic and of the Python that runs it.",
            hide=NOISE,
            span=8,
        ),
    ]


def frames() -> list[Builder[models.Panel]]:
    """Where did every frame go?"""
    dropped = "asyncnic_dropped_frames_total"
    ledger = [
        Query(rate("asyncnic_delivered_frames_total"), "delivered"),
        *(Query(rate(dropped, f'stage="{stage}"'), f"dropped: {stage}") for stage in STAGES),
        Query(rate("asyncnic_filtered_frames_total"), "filtered"),
        Query(rate("asyncnic_offered_frames_total"), "offered"),
        Query(rate("asyncnic_transmitted_frames_total"), "transmitted"),
    ]
    return [
        lines(
            "Every frame",
            ledger,
            about="The ledger: delivered, then the drops in the order in which a frame meets them, then filtered. The "
            "stack reaches the dashed line (offered); a gap is a frame that nobody counted. Transmit is below zero.",
            span=24,
            height=11,
            stacked=True,
            colors={
                "delivered": GREEN,
                **{f"dropped: {stage}": color for stage, color in STAGES.items()},
                "filtered": GREY,
                "offered": BLACK,
                "transmitted": BLUE,
            },
            apart=["offered"],
        ),
        lines(
            "Dropped, by reason",
            [Query(rate(dropped, by="stage, reason"), "{{stage}}: {{reason}}")],
            about="kernel: the TAP's queue or the packet ring was full, the cheapest place. card: no free descriptor "
            "(MISS). driver: a bad descriptor. queue: queue delivery's policy.",
        ),
        lines(
            "Errors on the wire",
            [
                Query(rate("asyncnic_receive_errors_total", by="error"), "receive: {{error}}"),
                Query(rate("asyncnic_transmit_errors_total", by="error"), "transmit: {{error}}"),
            ],
            about="What the chip said about single frames. Transmit is below zero.",
            unit="pps",
        ),
        lines(
            "Octets",
            [
                Query(f"8 * {rate('asyncnic_delivered_bytes_total')}", "delivered"),
                Query(f"8 * {rate('asyncnic_transmitted_bytes_total')}", "transmitted"),
            ],
            about="Bits a second, without preamble and FCS. Transmit is below zero.",
            unit="bps",
            colors={"delivered": GREEN, "transmitted": BLUE},
        ),
        lines(
            "In flight",
            [Query(total("asyncnic_in_flight_frames"), "{{instance}} {{device}}")],
            about="Frames in the ring or in the delivery queue, not yet delivered: bounded by what these hold.",
        ),
        lines(
            "By lane",
            [
                Query(rate("asyncnic_delivered_frames_total", by="lane"), "delivered: {{lane}}"),
                Query(rate(dropped, 'lane!=""', by="lane"), "dropped: {{lane}}"),
            ],
            about="What matters more has a lane of its own; under a flood the lanes above the flood lose nothing.",
        ),
        lines(
            "Waiting in lanes",
            [Query(f"sum by (lane) (asyncnic_lane_waiting_frames{{{ONE}}})", "{{lane}}")],
            about="Frames in the TAP's queues or packet rings: not offered to the card yet. Divided by the delivered "
            "rate, their age.",
        ),
    ]


def overload() -> list[Builder[models.Panel]]:
    """Is it overloaded?"""
    return [
        heat(
            "Frames a burst",
            buckets("asyncnic_burst_frames"),
            about="The load gauge: small bursts mean time to spare, bursts at the budget mean that frames wait.",
        ),
        lines(
            "Bursts",
            [
                Query(rate("asyncnic_bursts_total"), "bursts"),
                Query(rate("asyncnic_interrupts_total"), "interrupts"),
                Query(rate("asyncnic_budget_exhausted_total", by="budget"), "ended by budget: {{budget}}"),
            ],
            about="More bursts than interrupts: the ring never runs dry. Bursts ended by a budget: overload.",
            unit="ops",
        ),
        lines(
            "Descriptors",
            [
                Query(
                    f'sum by (owner) (asyncnic_ring_descriptors{{{ONE},ring="rx"}})',
                    "receive: {{owner}}",
                ),
                Query(
                    f'sum by (owner) (asyncnic_ring_descriptors{{{ONE},ring="tx"}})',
                    "transmit: {{owner}}",
                ),
            ],
            about="Who owns the descriptors. Receive descriptors that the host keeps are frames not yet taken; none "
            "left with the card means that the next frame is dropped. Transmit is below zero.",
        ),
        lines(
            "Queue",
            [
                Query(f"sum(asyncnic_queue_frames{{{ONE}}})", "frames"),
                Query(f"sum(asyncnic_queue_limit_frames{{{ONE}}})", "limit"),
            ],
            about="Queue delivery only: direct delivery has no queue and stays at zero.",
            apart=["limit"],
        ),
        heat(
            "Delivery time",
            buckets("asyncnic_delivery_seconds"),
            about="From wake-up to the last frame of the burst delivered, one sample a burst.",
        ),
        heat(
            "Loop lag",
            buckets("asyncnic_loop_lag_seconds"),
            about="How late the event loop runs a timer: what everything else in the process waits for.",
        ),
        lines(
            "Repairs and rehearsals",
            [
                Query(f"sum(increase(asyncnic_stack_stalls_total{{{ONE}}}[$__rate_interval]))", "the loop stood still"),
                Query(f"sum(increase(asyncnic_lost_interrupts_total{{{ONE}}}[$__rate_interval]))", "interrupt lost"),
                Query(
                    f"sum(increase(asyncnic_faults_injected_total{{{ONE}}}[$__rate_interval])) or on() vector(0)",
                    "fault rehearsed",
                ),
            ],
            about="What the service noticed and repaired by itself. The log names the place where the loop stood "
            "still; faults happen where somebody rehearses them (`--fault`), and in production never.",
        ),
    ]


def knobs() -> list[Builder[models.Panel]]:
    """Which knob would help?"""
    return [
        lines(
            "rx_budget",
            [
                Query(quantile(0.99, "asyncnic_burst_frames"), "99 % of bursts below"),
                Query(mean("asyncnic_burst_frames"), "mean burst"),
                Query(knob("rx_budget"), "rx_budget"),
            ],
            about="Bursts at the budget and a quiet loop: raise it. A late loop: lower it.",
            span=8,
            apart=["rx_budget"],
        ),
        lines(
            "rx_time_budget and target_lag",
            [
                Query(quantile(0.99, "asyncnic_delivery_seconds"), "99 % of deliveries within"),
                Query(quantile(0.99, "asyncnic_loop_lag_seconds"), "99 % of loop lag within"),
                Query(knob("rx_time_budget"), "rx_time_budget"),
                Query(knob("target_lag"), "target_lag"),
            ],
            about="Bounds what timers, scrapes and applications wait for a burst. One frame's work is the least. "
            "`rx_budget=auto` holds the lag under target_lag by itself.",
            unit="s",
            span=8,
            apart=["rx_time_budget", "target_lag"],
        ),
        lines(
            "rx_ring",
            [
                Query(
                    f'max(max_over_time(asyncnic_ring_descriptors{{{ONE},ring="rx",owner="host"}}[$__rate_interval]))',
                    "most held by the host",
                ),
                Query(f'max(sum by (instance, device) (asyncnic_ring_descriptors{{{ONE},ring="rx"}}))', "rx_ring"),
            ],
            about="A ring that fills in bursts and empties again: a larger one absorbs them. One that stays full: no "
            "ring is large enough. Needs a restart.",
            span=8,
            apart=["rx_ring"],
        ),
        lines(
            "tap_queue and overload",
            [
                Query(rate("asyncnic_dropped_frames_total", 'stage="kernel"'), "dropped: kernel a second"),
                Query(rate("asyncnic_dropped_frames_total", 'stage="card"'), "dropped: card a second"),
                Query(knob("tap_queue"), "tap_queue"),
            ],
            about="Short drops with an idle service: a longer TAP queue absorbs them. In lasting overload `target_age` "
            "keeps it short, so that frames stay fresh. `overload=drain` moves the drops to the card, and costs CPU.",
            span=8,
            apart=["tap_queue"],
        ),
        lines(
            "queue_limit",
            [
                Query(f"max(max_over_time(asyncnic_queue_frames{{{ONE}}}[$__rate_interval]))", "most in the queue"),
                Query(knob("queue_limit"), "queue_limit"),
            ],
            about="Queue delivery only. A full queue adds its length / delivered rate to each frame's age.",
            span=8,
            apart=["queue_limit"],
        ),
        lines(
            "busy_poll, rx_usecs",
            [
                Query(f"{rate('asyncnic_interrupts_total')} / {rate('asyncnic_bursts_total')}", "interrupts a burst"),
                Query(f"{knob('busy_poll')} * 1e6", "busy_poll in us"),
                Query(f"{knob('rx_usecs')} * 1e6", "rx_usecs in us"),
            ],
            about="One interrupt a burst: each burst pays for a wake-up. Busy polling saves it and burns CPU; "
            "`rx_usecs` has fewer of them, and frames wait.",
            span=8,
            apart=["busy_poll in us", "rx_usecs in us"],
        ),
        lines(
            "target_age",
            [
                Query(
                    f"sum(asyncnic_lane_waiting_frames{{{ONE}}}) / ({rate('asyncnic_delivered_frames_total')} > 0)",
                    "age of waiting frames",
                ),
                Query(knob("target_age"), "target_age"),
            ],
            about="Frames waiting in the TAP, divided by the delivered rate. In lasting overload the queue is made "
            "so short that frames are no older than target_age; short bursts still have all of tap_queue.",
            unit="s",
            span=8,
            apart=["target_age"],
        ),
        facts(
            "All knobs as they stand",
            f"asyncnic_setting{{{ONE}}}",
            about="Changed by `asyncnic tune`, PUT /api/v1/settings or a reload of the file.",
            hide=tuple(name for name in NOISE if name != "Value"),
            span=16,
            height=8,
        ),
    ]


def stack() -> list[Builder[models.Panel]]:
    """What did the stack do with what was delivered?"""
    packets = "asyncnic_stack_packets_total"
    return [
        lines(
            "Packets by protocol and outcome",
            [Query(rate(packets, by="protocol, outcome"), "{{protocol}}: {{outcome}}")],
            about="Every delivered frame ends in exactly one of these.",
            stacked=True,
            span=16,
            height=9,
        ),
        lines(
            "What it met with besides",
            [Query(rate("asyncnic_stack_events_total", by="event"), "{{event}}")],
            about="Neighbours that do not answer, errors kept back, datagrams dropped on the way out, addresses lost.",
            span=8,
            height=9,
        ),
        lines(
            "TCP connections",
            [Query(f"sum by (state) (asyncnic_tcp_connections{{{ONE}}})", "{{state}}")],
            about="By state. Many in close-wait: an application does not close. Many in syn-received: a flood of SYNs.",
            stacked=True,
            span=8,
        ),
        lines(
            "TCP: trouble on the way",
            [Query(rate(TCP_EVENTS, f'event=~"{TROUBLE}"', by="event"), "{{event}}")],
            about="Segments sent again, timers that ran out, what came out of order or twice, resets. Frames that the "
            "first rows show as dropped come back here.",
            span=8,
        ),
        lines(
            "TCP: refused, and memory",
            [
                Query(rate(TCP_EVENTS, 'event=~"refused_.+"', by="event"), "{{event}}"),
                Query(f"sum(asyncnic_tcp_memory_bytes{{{ONE}}}) / 1e6", "memory, MB"),
            ],
            about="What a limit kept out, a second; each limit is a setting, tcp_connections to tcp_memory. Half-"
            "open ones get SYN cookies instead.",
            span=8,
        ),
        lines(
            "Sinks: datagrams",
            [
                Query(rate("asyncnic_sink_received_datagrams_total", by="sink"), "received {{sink}}"),
                Query(rate("asyncnic_sink_datagrams_total", by="sink, outcome"), "{{outcome}} {{sink}}"),
            ],
            about="What sinks were given and what their brokers said. Refused, given up or lost with a worker: "
            "the broker is not known to have them.",
            span=12,
        ),
        lines(
            "Sinks: in flight, and waiting for the window",
            [
                Query(f"sum by (sink) (asyncnic_sink_in_flight_datagrams{{{ONE}}})", "in flight {{sink}}"),
                Query(
                    f"100 * {rate('asyncnic_sink_window_wait_seconds_total', by='sink')}", "time waiting, % {{sink}}"
                ),
            ],
            about="At sink_window the window is full: bursts wait, and what comes then is dropped on the wire. A sink "
            "that waits most of the time has a broker that is slower than the wire, or none.",
            span=12,
        ),
        lines(
            "Exporters: numbers missing",
            [
                Query(rate(SEQUENCE, 'outcome="missing"', by="protocol"), "missing {{protocol}}"),
                Query(rate(SEQUENCE, 'outcome=~"late|duplicate"', by="protocol, outcome"), "{{outcome}} {{protocol}}"),
            ],
            about="Of what exporters number (--sequence-gaps), a second: datagrams, flows (NetFlow v5) or records "
            "(IPFIX). While nothing is dropped here, all that is missing and did not come late was lost before us.",
            span=12,
        ),
        lines(
            "Sources beyond their limit",
            [Query(rate("asyncnic_dropped_frames_total", 'reason="source_limit"', by="device"), "{{device}}")],
            about="Frames a second of sources that send more than --source-limit lets them; "
            "`asyncnic top --sources` says whose they are.",
            span=12,
        ),
    ]


def process() -> list[Builder[models.Panel]]:
    """What does the process cost?"""
    cpu = f"sum(rate(process_cpu_seconds_total{{{PROCESS}}}[$__rate_interval]))"
    return [
        lines(
            "CPU",
            [Query(cpu, "cores")],
            about="Cores in use. At 1.0 the loop is the limit.",
            span=6,
        ),
        lines(
            "CPU a delivered frame",
            [Query(f"{cpu} / ({rate('asyncnic_delivered_frames_total')} > 0)", "CPU a frame")],
            about="Rises with the load offered: work is spent on frames that are dropped (livelock). Flat: it is not.",
            unit="s",
            span=6,
        ),
        lines(
            "Memory and descriptors",
            [
                Query(f"sum(process_resident_memory_bytes{{{PROCESS}}})", "resident"),
            ],
            about="Everything is bounded, so this line is flat under any flood.",
            unit="bytes",
            span=6,
        ),
        lines(
            "Garbage collections",
            [
                Query(
                    f"sum by (generation) (rate(python_gc_collections_total{{{PROCESS}}}[$__rate_interval]))",
                    "generation {{generation}}",
                )
            ],
            about="The packet path makes no cycles; a rate that follows the frames is somebody's stack.",
            unit="ops",
            span=6,
        ),
    ]


ROWS = {
    "Is it up?": up,
    "Where did every frame go?": frames,
    "Is it overloaded?": overload,
    "Which knob would help?": knobs,
    "The stack": stack,
    "The process": process,
}


def variable(name: str, label: str, query: str) -> builders.QueryVariable:
    """A choice of label values, all of them at first."""
    return (
        builders.QueryVariable(name)
        .label(label)
        .datasource(SOURCE)
        .query(query)
        .multi(True)
        .include_all(True)
        .all_value(".+")
        .current(models.VariableOption(text="All", value="$__all"))
        .refresh(models.VariableRefresh.ON_TIME_RANGE_CHANGED)
        .sort(models.VariableSort.ALPHABETICAL_ASC)
    )


def overview() -> builders.Dashboard:
    """The dashboard, ready to build."""
    board = (
        builders.Dashboard("asyncnic: where every frame went")
        .uid(UID)
        .description("Ledger, overload, knobs, stack and process of asyncnic services.")
        .tags(["asyncnic", "network"])
        .tooltip(models.DashboardCursorSync.CROSSHAIR)
        .time("now-30m", "now")
        .refresh("10s")
        .timezone("browser")
        .editable()
        .with_variable(builders.DatasourceVariable("datasource").label("Data source").type("prometheus"))
        .with_variable(variable("job", "Job", "label_values(asyncnic_device_up, job)"))
        .with_variable(variable("instance", "Instance", 'label_values(asyncnic_device_up{job=~"$job"}, instance)'))
        .with_variable(variable("device", "Device", 'label_values(asyncnic_device_up{instance=~"$instance"}, device)'))
        .annotation(
            builders.AnnotationQuery()
            .name("Knob turned")
            .datasource(SOURCE)
            .enable(True)
            .icon_color(BLUE)
            .expr(f"changes(asyncnic_setting{{{ONE}}}[$__rate_interval]) > 0")
        )
        .annotation(
            builders.AnnotationQuery()
            .name("Device reset")
            .datasource(SOURCE)
            .enable(True)
            .icon_color(RED)
            .expr(f"increase(asyncnic_device_resets_total{{{ONE}}}[$__rate_interval]) > 0")
        )
    )
    for title, row in ROWS.items():
        board.with_row(builders.Row(title))
        for panel in row():
            board.with_panel(panel)
    return board
