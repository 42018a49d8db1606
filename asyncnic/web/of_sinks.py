"""The asyncnic_sink_* metrics: the sinks' ledgers as families, each name once. A part of the collector's scrape.

`sink` is the port and the URL as they were configured, without user, password and options.
"""

from collections.abc import Iterator, Mapping

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric

from asyncnic.sinks.ledger import SinkLedger


def sink_families(device: str, sinks: Mapping[str, SinkLedger]) -> Iterator[Metric]:
    """All families, without samples where there are no sinks."""
    labels = ("device", "sink")
    text = "Datagrams that a sink was given: acknowledged, in flight and failed sum to it."
    received = CounterMetricFamily("asyncnic_sink_received_datagrams", text, labels=labels)
    datagrams = CounterMetricFamily(
        "asyncnic_sink_datagrams",
        "Datagrams of a sink by their end: acknowledged by the broker; refused by it, given_up when the service ended "
        "before the acknowledgement, or worker_lost with the worker that had them, which are the failed ones.",
        labels=(*labels, "outcome"),
    )
    text = "Datagrams that a sink holds: they wait for the broker, or for its acknowledgement."
    in_flight = GaugeMetricFamily("asyncnic_sink_in_flight_datagrams", text, labels=labels)
    text = "1 while the sink is connected and its broker takes datagrams; with several workers, all of theirs."
    up = GaugeMetricFamily("asyncnic_sink_up", text, labels=labels)
    text = "Times that a sink's window was full and the stack waited inside its burst."
    waits = CounterMetricFamily("asyncnic_sink_window_waits", text, labels=labels)
    text = "Time that the stack waited inside its bursts for a sink's window."
    waited = CounterMetricFamily("asyncnic_sink_window_wait_seconds", text, labels=labels)
    text = 'Datagrams published again, since the answer was "not now" or was lost with the connection.'
    republished = CounterMetricFamily("asyncnic_sink_republished_datagrams", text, labels=labels)
    for name, sink in sinks.items():
        received.add_metric((device, name), sink.received)
        for outcome, count in {"acknowledged": sink.acknowledged, **sink.failed}.items():
            datagrams.add_metric((device, name, outcome), count)
        in_flight.add_metric((device, name), sink.in_flight)
        up.add_metric((device, name), int(sink.down == 0))
        waits.add_metric((device, name), sink.waits)
        waited.add_metric((device, name), sink.waited)
        republished.add_metric((device, name), sink.republished)
    yield from (received, datagrams, in_flight, up, waits, waited, republished)
