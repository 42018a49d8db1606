"""The sinks' families: there without sinks, and with them every term of the law."""

from asyncnic.sinks.ledger import SinkLedger
from asyncnic.web.of_sinks import sink_families


def test_without_sinks_there_are_families_without_samples() -> None:
    families = list(sink_families("tap:a", {}))
    assert len(families) == 7
    assert not any(family.samples for family in families)


def test_the_terms_of_the_law_are_there_and_only_they_are_ends() -> None:
    sinks = {"514=nats://h:4222/a": SinkLedger(received=5, acknowledged=3, in_flight=2)}
    samples = {family.name: family.samples for family in sink_families("tap:a", sinks)}
    ends = {sample.labels["outcome"]: sample.value for sample in samples["asyncnic_sink_datagrams"]}
    assert ends == {"acknowledged": 3, "refused": 0, "given_up": 0, "worker_lost": 0}
    assert [sample.value for sample in samples["asyncnic_sink_received_datagrams"]] == [5]
    assert [sample.value for sample in samples["asyncnic_sink_up"]] == [1]
