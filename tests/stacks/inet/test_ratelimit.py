from asyncnic.stacks.inet.ratelimit import TokenBucket


def test_a_burst_and_then_the_rate() -> None:
    bucket = TokenBucket(rate=2, burst=3)
    assert [bucket.take(10) for _ in range(4)] == [True, True, True, False]
    assert [bucket.take(10.5) for _ in range(2)] == [True, False]
    assert [bucket.take(100) for _ in range(4)] == [True, True, True, False]


def test_a_clock_that_steps_back_gives_nothing() -> None:
    bucket = TokenBucket(rate=2, burst=1)
    assert bucket.take(10)
    assert not bucket.take(5)
