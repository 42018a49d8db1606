"""The metrics as a whole: names, types, labels and values against a committed scrape, and the law among them."""

from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.parser import text_string_to_metric_families

from asyncnic.web import collector
from asyncnic.web.collector import NicCollector
from tests.web.fakes import FakeNic, observe

LISTS = {"lane", "shed", "lane_queue", "lane_weight"}
"""Knobs that are no numbers."""
GOLDEN = Path(__file__).parent / "golden.prom"


def scrape(nic: FakeNic, **flags: object) -> str:
    registry = CollectorRegistry(auto_describe=False)
    registry.register(NicCollector(observe(nic, **flags)))
    return generate_latest(registry).decode()


def value(text: str, metric: str, /, **labels: str) -> float:
    """Sum of the samples of `metric` that have `labels`."""
    return sum(
        sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
        if sample.name == metric and labels.items() <= sample.labels.items()
    )


def test_the_whole_scrape_is_as_committed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(collector, "build_info", lambda: {"version": "1.2.3", "python": "3.11.0", "hot_path": "plain"})
    assert scrape(FakeNic()) == GOLDEN.read_text()


def test_the_conservation_law_holds_among_the_metrics() -> None:
    text = scrape(FakeNic())
    accounted = (
        value(text, "asyncnic_delivered_frames_total")
        + value(text, "asyncnic_dropped_frames_total")
        + value(text, "asyncnic_filtered_frames_total")
        + value(text, "asyncnic_ring_descriptors", ring="rx", owner="host")
        + value(text, "asyncnic_queue_frames")
    )
    assert value(text, "asyncnic_offered_frames_total") == accounted == 1000


def test_the_law_of_sinks_holds_among_the_metrics() -> None:
    text = scrape(FakeNic())
    ends = value(text, "asyncnic_sink_datagrams_total")
    in_flight = value(text, "asyncnic_sink_in_flight_datagrams")
    assert value(text, "asyncnic_sink_received_datagrams_total") == ends + in_flight == 50
    assert value(text, "asyncnic_sink_datagrams_total", outcome="acknowledged") == 40
    assert value(text, "asyncnic_sink_up") == 0


def test_every_series_but_build_info_has_the_device() -> None:
    for family in text_string_to_metric_families(scrape(FakeNic())):
        for sample in family.samples:
            assert sample.labels.get("device") == (None if family.name == "asyncnic_build_info" else "tap:golden0")


def test_nothing_is_created_at_a_time() -> None:
    assert "_created" not in scrape(FakeNic())


def test_a_queue_shows_its_limit_and_a_direct_nic_none() -> None:
    assert value(scrape(FakeNic()), "asyncnic_queue_limit_frames") == 0
    assert value(scrape(FakeNic(), delivery="queue"), "asyncnic_queue_limit_frames") == 1024


def test_the_settings_shown_are_the_knobs_as_they_stand() -> None:
    nic = FakeNic()
    nic.knobs.rx_budget, nic.knobs.overload, nic.knobs.queue_policy = 8, "drain", "pause"
    text = scrape(nic)
    assert value(text, "asyncnic_setting", name="rx_budget") == 8
    assert value(text, "asyncnic_setting", name="overload") == 1
    assert value(text, "asyncnic_setting", name="queue_policy") == 2
    assert set(nic.knobs.as_numbers()) == set(nic.knobs.__dataclass_fields__) - LISTS


def test_the_lanes_own_knobs_are_shown_beside_them() -> None:
    nic = FakeNic()
    nic.knobs.lane_queue, nic.knobs.lane_weight = ("bulk=5000",), ("control=8",)
    text = scrape(nic)
    assert value(text, "asyncnic_lane_setting", lane="control", name="tap_queue") == 1000
    assert value(text, "asyncnic_lane_setting", lane="bulk", name="tap_queue") == 5000
    assert value(text, "asyncnic_lane_setting", lane="control", name="weight") == 8
    assert value(text, "asyncnic_lane_setting", lane="bulk", name="weight") == 0


def test_the_law_holds_for_each_lane_and_what_is_shed_is_in_none() -> None:
    text = scrape(FakeNic())
    assert value(text, "asyncnic_delivered_frames_total", lane="control") == 100
    assert value(text, "asyncnic_dropped_frames_total", lane="bulk") == 79
    assert value(text, "asyncnic_dropped_frames_total", reason="shed", lane="") == 7
    assert value(text, "asyncnic_shed_frames_total", rule="src:198.51.100.0/24") == 7
    for account in FakeNic().accounts().lanes.values():
        assert account.ledger.imbalance == 0


def test_a_lost_device_is_down() -> None:
    assert value(scrape(FakeNic(device_up=False)), "asyncnic_device_up") == 0
