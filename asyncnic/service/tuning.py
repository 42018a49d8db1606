"""Turning the knobs of a running service: a change is validated, applied as a whole or not at all, logged and shown.

`tune` takes single settings, `adopt` those of a configuration that was read again; both go the same way. No frame
passes here, and none is lost by a change: the receiver reads the knobs at every burst, and a burst in hand ends as it
began.
"""

import asyncio
import logging
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

from asyncnic.errors import DeviceError
from asyncnic.logs import fields
from asyncnic.service.engine import Engine
from asyncnic.settings.load import tuned, with_live
from asyncnic.settings.model import LIVE, Settings, changed
from asyncnic.settings.values import shown

log = logging.getLogger(__name__)

Changes = dict[str, dict[str, Any]]
"""What was changed: by name, the values "old" and "new" in the settings' JSON form."""


class Tuner:
    """Turns the knobs of `engine`; changes that come at once wait for each other."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._one_at_a_time = asyncio.Lock()

    async def tune(self, changes: Mapping[str, object]) -> Changes:
        """Change single live settings.

        Raises:
            SettingsError: a name or a value is wrong; nothing has changed.
            DeviceError: the kernel refuses one of them; everything was put back.
        """
        async with self._one_at_a_time:
            return await self._apply(tuned(self._engine.observed.settings, changes))

    async def adopt(self, new: Settings) -> Changes:
        """Take over the live settings of `new`; the others stay as they are.

        Raises:
            SettingsError: its live settings contradict one that stays; nothing has changed.
            DeviceError: the kernel refuses one of them; everything was put back.
        """
        async with self._one_at_a_time:
            return await self._apply(with_live(self._engine.observed.settings, new, LIVE))

    async def _apply(self, new: Settings) -> Changes:
        observed = self._engine.observed
        old, knobs = observed.settings, observed.nic.knobs
        knobs.turn_to(new.knobs())
        try:
            await self._engine.apply_knobs()
        except BaseException as error:  # a cancellation too: half a change is none
            knobs.turn_to(old.knobs())
            with suppress(DeviceError, OSError):  # the first refusal is the one to tell
                await self._engine.apply_knobs()
            if isinstance(error, OSError):
                raise DeviceError(f"{observed.nic.device.name}: {error.strerror or error}") from None
            raise
        observed.settings = new
        before, after = old.model_dump(mode="json"), new.model_dump(mode="json")
        names = sorted(changed(old, new))
        for name in names:
            # The name is part of the event: the log's rate limit is for each knob by itself.
            log.info(f"{name} changed", extra=fields(old=shown(before[name]), new=shown(after[name])))
        return {name: {"old": before[name], "new": after[name]} for name in names}
