"""A timer of the kernel: it is readable from each tick until it is consumed."""

import os
import select

from asyncnic.linux.timer import Ticker


def readable(fd: int, milliseconds: int) -> bool:
    poller = select.poll()
    poller.register(fd, select.POLLIN)
    return bool(poller.poll(milliseconds))


def test_it_ticks_again_and_again_until_it_is_told_not_to() -> None:
    ticker = Ticker()
    assert not ticker.consume()
    ticker.every(0.0001)
    for _ in range(3):
        assert readable(ticker.fd, 5000)
        assert ticker.consume()
    assert readable(ticker.fd, 5000)
    ticker.every(0.0)
    assert not readable(ticker.fd, 0)
    assert not ticker.consume()
    ticker.close()


def test_times_above_a_second_are_times() -> None:
    ticker = Ticker()
    ticker.every(3600.5)
    assert not readable(ticker.fd, 0)
    ticker.close()


def test_closing_it_twice_closes_nothing_else() -> None:
    ticker = Ticker()
    ticker.close()
    fd = os.open("/dev/null", os.O_RDONLY)
    ticker.close()
    os.fstat(fd)
    os.close(fd)
