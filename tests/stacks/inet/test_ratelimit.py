from asyncnic.stacks.inet.ratelimit import RATE, TokenBucket, by_chance


def test_a_burst_and_then_the_rate() -> None:
    bucket = TokenBucket(rate=2, burst=3)
    assert [bucket.take(10) for _ in range(4)] == [True, True, True, False]
    assert [bucket.take(10.5) for _ in range(2)] == [True, False]
    assert [bucket.take(100) for _ in range(4)] == [True, True, True, False]


def test_a_clock_that_steps_back_gives_nothing() -> None:
    bucket = TokenBucket(rate=2, burst=1)
    assert bucket.take(10)
    assert not bucket.take(5)


def test_a_cost_by_chance_keeps_the_rate() -> None:
    bucket = TokenBucket(cost=by_chance)
    allowed = sum(bucket.take(step / 1000) for step in range(100_000))  # ten times as many as are allowed, for 100 s
    assert 0.9 * RATE * 100 < allowed < 1.1 * RATE * 100
