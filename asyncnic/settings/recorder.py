"""The flight recorder as settings. What it does with them is its own."""

from typing import Annotated

from pydantic import BaseModel, BeforeValidator, Field, PlainSerializer

from asyncnic.settings import values


class OfRecorder(BaseModel):
    """Settled when the service starts."""

    recorder_frames: Annotated[int, BeforeValidator(values.whole_within(0, 65536))] = Field(
        4096, title="N", description="frames whose heads (128 octets) the flight recorder keeps in memory; 0: none"
    )
    snapshot_dir: Annotated[str, BeforeValidator(values.text)] = Field(
        "",
        title="DIR",
        description="where the flight recorder writes a snapshot when a storm begins or on SIGUSR2; the last 8 stay; "
        "empty: only `asyncnic snapshot` gets one",
    )
    storm_drops: Annotated[int, BeforeValidator(values.whole_within(0, 100))] = Field(
        10,
        title="PERCENT",
        description="of the frames offered within a second: a storm if one stage drops so many; 0: never",
    )
    storm_lag: Annotated[
        float,
        BeforeValidator(values.duration_within(0.0, 60.0)),
        PlainSerializer(values.show_duration, when_used="json"),
    ] = Field(0.5, title="TIME", description="lag of the event loop that is a storm, like 500ms; 0us: never")
