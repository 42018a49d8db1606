"""Changes of the knobs as a whole: validated, all or nothing, one at a time, logged."""

import asyncio
import logging
from collections.abc import Sequence
from pathlib import Path

import pytest

from asyncnic.errors import DeviceError, PrivilegeError, SettingsError
from asyncnic.service.observed import Observed
from asyncnic.service.tuning import Tuner
from asyncnic.settings.load import load, tuned
from tests.web.fakes import FakeNic, observe


class FakeEngine:
    """Knobs that a kernel may refuse: a TAP's queue of more than `most` frames."""

    patience = 1.0

    def __init__(self, **flags: object) -> None:
        nic = FakeNic()
        self.observed: Observed = observe(nic, **flags)
        self.observed.nic.knobs.turn_to(self.observed.settings.knobs())
        self.most = 2000
        self.applied: list[int] = []
        self.busy = 0

    async def run(self) -> None: ...

    def give_up_privileges(self, files: Sequence[Path]) -> None: ...

    def finish(self) -> None: ...

    async def apply_knobs(self) -> None:
        self.busy += 1
        assert self.busy == 1
        await asyncio.sleep(0)
        self.busy -= 1
        self.applied.append(self.observed.nic.knobs.tap_queue)
        if self.applied[-1] > self.most:
            raise PrivilegeError("tap:golden0: its queue's length needs CAP_NET_ADMIN")


async def test_changes_are_applied_together_and_told() -> None:
    engine = FakeEngine()
    changes = await Tuner(engine).tune({"rx_budget": "32", "rx_time_budget": "1ms", "overload": "leave"})
    assert changes == {"rx_budget": {"old": 64, "new": 32}, "rx_time_budget": {"old": "2ms", "new": "1ms"}}
    knobs = engine.observed.nic.knobs
    assert (knobs.rx_budget, knobs.rx_time_budget) == (32, 0.001)
    assert engine.observed.settings.knobs().rx_budget == 32
    assert engine.applied == [1000]


async def test_each_change_is_a_line_of_the_log(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, "asyncnic.service.tuning"):
        await Tuner(FakeEngine()).tune({"rx_budget": "auto", "tap_queue": 500, "queue_limit": 1024})
    assert [(record.message, record.__dict__["fields"]) for record in caplog.records] == [
        ("rx_budget changed", {"old": "64", "new": "auto"}),
        ("tap_queue changed", {"old": "1000", "new": "500"}),
    ]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"rx_budgt": 3}, "rx_budgt: no such knob; did you mean rx_budget?"),
        ({"zzz": 3}, "zzz: no such knob"),
        ({"rx_ring": 3}, "rx_ring: is no knob: change it where the service is started, and restart"),
        ({"rx_budget": 0}, "rx_budget=0: must be a whole number from 1 to 4096, or auto"),
        ({"rx_budget": None}, 'rx_budget="": must be a whole number from 1 to 4096, or auto'),
        ({"rx_budget": True}, "rx_budget=True: must be a whole number from 1 to 4096, or auto"),
        ({"rx_budget": {"a": 1}}, "rx_budget={'a': 1}: must be a whole number from 1 to 4096, or auto"),
        ({"rx_time_budget": 2}, "rx_time_budget=2: must be a time with its unit, like 50us, 2ms or 1s"),
        ({"target_lag": "1us"}, "target_lag=1us: must be a time from 100us to 1s"),
        ({"overload": "maybe"}, "overload=maybe: must be leave or drain"),
        ({"rx_budget": 8, "queue_limit": "x"}, "queue_limit=x: must be a whole number from 1 to 65536"),
        ({"shed": 5}, "shed=5: must be a list of text"),
    ],
)
async def test_what_is_wrong_changes_nothing(changes: dict[str, object], message: str) -> None:
    engine = FakeEngine()
    before = (engine.observed.settings, engine.observed.nic.knobs.rx_budget)
    with pytest.raises(SettingsError) as caught:
        await Tuner(engine).tune(changes)
    assert str(caught.value) == message
    assert (engine.observed.settings, engine.observed.nic.knobs.rx_budget) == before
    assert engine.applied == []


async def test_a_refusal_of_the_kernel_puts_everything_back() -> None:
    engine = FakeEngine()
    before = engine.observed.settings
    with pytest.raises(DeviceError, match="CAP_NET_ADMIN"):
        await Tuner(engine).tune({"rx_budget": 8, "tap_queue": 5000})
    knobs = engine.observed.nic.knobs
    assert (knobs.rx_budget, knobs.tap_queue) == (64, 1000)
    assert engine.applied == [5000, 1000]
    assert engine.observed.settings is before


async def test_changes_that_come_at_once_are_made_one_by_one() -> None:
    engine = FakeEngine()
    tuner = Tuner(engine)
    changes = await asyncio.gather(*(tuner.tune({"tap_queue": length}) for length in range(10, 60)))
    assert engine.applied == list(range(10, 60))
    assert [change["tap_queue"]["new"] for change in changes] == list(range(10, 60))


async def test_a_file_read_again_is_adopted_the_same_way() -> None:
    engine = FakeEngine()
    tuner = Tuner(engine)
    await tuner.tune({"rx_budget": 8, "overload": "drain"})
    changes = await tuner.adopt(load({"rx_budget": "16", "rx_ring": "32"}, {}, None))
    assert changes == {"rx_budget": {"old": 8, "new": 16}, "overload": {"old": "drain", "new": "leave"}}
    assert engine.observed.settings.rx_ring == 256


async def test_automatic_goes_on_from_the_budget_in_force_and_back() -> None:
    engine = FakeEngine(rx_budget="8")
    tuner, knobs = Tuner(engine), engine.observed.nic.knobs
    await tuner.tune({"rx_budget": "auto"})
    assert (knobs.rx_budget, knobs.rx_budget_auto) == (8, True)
    knobs.rx_budget = 213
    await tuner.tune({"target_lag": "1ms"})
    assert (knobs.rx_budget, knobs.rx_budget_auto, knobs.target_lag) == (213, True, 0.001)
    await tuner.tune({"rx_budget": 64})
    assert (knobs.rx_budget, knobs.rx_budget_auto) == (64, False)


async def test_automatic_needs_direct_delivery_also_when_the_file_says_so_by_now() -> None:
    engine = FakeEngine(delivery="queue")
    with pytest.raises(SettingsError, match=r"^rx_budget=auto: needs --delivery direct$"):
        await Tuner(engine).tune({"rx_budget": "auto"})
    with pytest.raises(SettingsError, match=r"^--rx-budget auto: needs --delivery direct$"):
        await Tuner(engine).adopt(load({"rx_budget": "auto"}, {}, None))
    assert not engine.observed.nic.knobs.rx_budget_auto


def test_tuning_keeps_what_the_user_typed() -> None:
    settings = load({"rx_ring": "128", "rx_budget": "8"}, {}, None)
    new = tuned(settings, {"rx_budget": "9"})
    assert (new.origin("rx_ring"), new.origin("rx_budget")) == ("--rx-ring 128", "rx_budget=9")
    assert settings.origin("rx_budget") == "--rx-budget 8"


@pytest.mark.parametrize("error", [OSError(28, "No space left on device"), asyncio.CancelledError()])
async def test_whatever_ends_a_change_half_way_everything_is_put_back(
    monkeypatch: pytest.MonkeyPatch, error: BaseException
) -> None:
    engine = FakeEngine()
    before = engine.observed.settings
    seen: list[int] = []

    async def apply_knobs() -> None:
        seen.append(engine.observed.nic.knobs.tap_queue)
        if len(seen) == 1:
            raise error

    monkeypatch.setattr(engine, "apply_knobs", apply_knobs)
    with pytest.raises((DeviceError, asyncio.CancelledError)):
        await Tuner(engine).tune({"tap_queue": 500})
    assert (seen, engine.observed.settings, engine.observed.nic.knobs.tap_queue) == ([500, 1000], before, 1000)
