"""Made-up outcomes: what a case would give on a machine that follows a formula."""

from dataclasses import asdict

from asyncnic.bench.case import SYSTEMS, Case, Figures

FLAT_OUT = 1_500_000.0


def outcome(case: Case, delivered_rate: float, cpu_per_frame: float = 2e-6) -> Figures:
    """The outcome of `case` on a system that delivers `delivered_rate` frames a second, or all that is offered."""
    load = case.load
    seconds = load.seconds if load.seconds is not None else 1.0
    rate = load.rate or (load.count / seconds if load.count is not None else FLAT_OUT)
    offered = round(rate * seconds)
    delivered = round(min(rate, delivered_rate) * seconds)
    return Figures(
        case=asdict(case),
        version=f"{SYSTEMS[case.system].package or 'CPython'} 0",
        offered=offered,
        delivered=delivered,
        lost={"kernel": offered - delivered, "uncounted": 0},
        window={"frames": delivered, "seconds": seconds, "cpu_seconds": delivered * cpu_per_frame},
        sender={"datagrams": offered, "rate": rate, "seconds": seconds, "cpu_seconds": offered * 1e-6}
        | {"answers": delivered, "round_trips": {"p50": 1e-4, "p99": 3e-4}},
        ages={"count": delivered, "p50": 1e-4, "p90": 2e-4, "p99": 3e-4, "p999": 4e-4, "max": 5e-4},
        bystander={"timer_lag": {"p99": 1e-3}, "scrapes": {"max": 2e-3, "failed": 0}},
    )
