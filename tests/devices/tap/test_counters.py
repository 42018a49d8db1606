"""Adding up what a TAP was offered, over its attachments."""

from asyncnic.devices.tap.counters import TapCounters


def test_what_no_program_dropped_the_kernel_did() -> None:
    counters = TapCounters()
    counters.attached(1000, 50, 0)
    counters.update(1300, 90, 30)
    assert (counters.packets, counters.dropped_beside) == (300, 10)


def test_drops_that_the_interface_has_not_counted_yet_take_nothing_back() -> None:
    counters = TapCounters()
    counters.attached(0, 0, 0)
    counters.update(10, 25, 20)
    counters.update(10, 100, 140)
    assert counters.dropped_beside == 5
    counters.update(10, 150, 140)
    assert counters.dropped_beside == 10


def test_counts_go_on_with_the_next_attachment() -> None:
    counters = TapCounters()
    counters.attached(7, 7, 0)
    counters.update(17, 10, 0)
    counters.attached(500, 500, 40)
    counters.update(501, 542, 80)
    assert (counters.packets, counters.dropped_beside) == (11, 5)


def test_of_a_tap_that_is_gone_counts_what_was_read() -> None:
    counters = TapCounters()
    counters.attached(100, 0, 0)
    counters.update(105, 3, 1)
    counters.lost(9)
    assert (counters.packets, counters.dropped_beside) == (9, 2)
