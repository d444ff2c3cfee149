"""When the satellites pass, and which part of the scene each pass sees."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from processes.simulation.fields import stream
from processes.simulation.spec import PIXEL_METRES, SceneSpec

# From this day on Sentinel-2 products have baseline 04.00, whose digital numbers carry an offset of 1000.
BASELINE_04_START = np.datetime64("2022-01-25")


@dataclass(frozen=True)
class Track:
    """A repeated pass over the scene.

    Parameters
    ----------
    mission : str
        "S2" or "S1".
    relative_orbit : int
    orbit_state : str
        "ascending" or "descending".
    first : numpy.datetime64
        A day on which the first of `platforms` passes; the pattern extends both ways in time.
    repeat_days : int
        Days between passes; the platforms take turns.
    clock : str
        Usual time of day, UTC.
    clock_spread : float
        Standard deviation of the time of day, s.
    platforms : tuple of str
    view_zenith, view_azimuth : float
        Direction to the sensor, degrees; azimuth clockwise from north.
    swath_west, swath_east : tuple of float, optional
        Range of the edge's place in shares of the scene's width, where the swath begins or ends inside of the scene.
    """

    mission: str
    relative_orbit: int
    orbit_state: str
    first: np.datetime64
    repeat_days: int
    clock: str
    clock_spread: float
    platforms: tuple[str, ...]
    view_zenith: float
    view_azimuth: float
    swath_west: tuple[float, float] | None = None
    swath_east: tuple[float, float] | None = None


_S2 = ("sentinel-2b", "sentinel-2a")

# Two Sentinel-2 swaths overlap at this longitude: 22 (seen from the east, ending in the scene) and 65. The calendar is
# made up, as the rest. Sentinel-1A was alone in 2022: Sentinel-1B failed in December 2021.
TRACKS: tuple[Track, ...] = (
    Track(
        "S2", 22, "descending", np.datetime64("2022-01-02"), 5, "10:18:03", 18.0, _S2, 10.2, 104.0,
        swath_west=(0.22, 0.34),
    ),
    Track("S2", 65, "descending", np.datetime64("2022-01-05"), 5, "10:28:12", 22.0, _S2, 7.6, 287.0),
    Track(
        "S1", 117, "ascending", np.datetime64("2022-01-04"), 12, "17:06:42", 1.5, ("sentinel-1a",), 41.5, 259.0,
    ),
    Track(
        "S1", 168, "descending", np.datetime64("2022-01-08"), 12, "05:26:18", 1.5, ("sentinel-1a",), 35.5, 101.0,
        swath_east=(0.80, 0.90),
    ),
)  # fmt: skip


@dataclass(frozen=True)
class Acquisition:
    """One pass: `time` in UTC to the millisecond (ns unit)."""

    track: Track
    time: np.datetime64
    platform: str

    @property
    def day(self) -> np.datetime64:
        """The UTC day."""
        day: np.datetime64 = self.time.astype("datetime64[D]")
        return day

    @property
    def key(self) -> tuple[int, int]:
        """What distinguishes the pass from all others: days since 1970 and the relative orbit."""
        return (int(self.day.astype(int)), self.track.relative_orbit)

    @property
    def baseline(self) -> str:
        """Processing baseline of a Sentinel-2 product of that day."""
        return "04.00" if self.day >= BASELINE_04_START else "03.01"

    @property
    def offset(self) -> float:
        """Reflectance of digital number 0: -0.1 from baseline 04.00 on."""
        return -0.1 if self.baseline == "04.00" else 0.0


def acquisitions(spec: SceneSpec, mission: str) -> list[Acquisition]:
    """Return a mission's passes within the scene's dates, in order of time."""
    found = [passage for track in TRACKS if track.mission == mission for passage in _passes(spec, track)]
    return sorted(found, key=lambda passage: passage.time)


def _passes(spec: SceneSpec, track: Track) -> list[Acquisition]:
    first = -int((track.first - spec.start) // np.timedelta64(track.repeat_days, "D"))
    count = int((spec.stop - spec.start) / np.timedelta64(track.repeat_days, "D")) + 2
    days = track.first + track.repeat_days * np.arange(first - 1, first + count)
    return [
        Acquisition(track, _time(spec, track, day), _platform(track, day))
        for day in days
        if spec.start <= day < spec.stop
    ]


def _platform(track: Track, day: np.datetime64) -> str:
    turn = int((day - track.first).astype(int)) // track.repeat_days
    return track.platforms[turn % len(track.platforms)]


def _time(spec: SceneSpec, track: Track, day: np.datetime64) -> np.datetime64:
    rng = stream(spec.seed, "clock", int(day.astype(int)), track.relative_orbit)
    # Most passes keep to their time; now and then a product's time is that of another place of its datatake.
    drift = rng.normal(0, track.clock_spread)
    if track.mission == "S2" and rng.random() < 0.1:
        drift += rng.uniform(-90, 90)
    clock = np.datetime64(f"{day}T{track.clock}", "ns")
    return clock + np.timedelta64(1_000_000 * round(1000 * float(drift)), "ns")


def seen(spec: SceneSpec, passage: Acquisition) -> NDArray[np.bool_]:
    """Return the pixels (y, x) inside of the swath; its edge follows the orbit and moves a little between passes."""
    track = passage.track
    mask = np.ones(spec.shape, np.bool_)
    if not spec.swath_edges:
        return mask
    rows, columns = np.mgrid[: spec.height, : spec.width].astype(np.float32)
    # The edge's stairs are those of the 20 m grid.
    rows, columns = rows // 2 * 2 + 0.5, columns // 2 * 2 + 0.5
    # Sun-synchronous orbits cross this latitude some 13 degrees off the meridian: descending ones towards the west.
    lean = np.tan(np.radians(13.5)) * (1 if track.orbit_state == "descending" else -1)
    place = columns + lean * (rows - spec.height / 2)
    # Orbits are kept to a few hundred metres; passes of one track differ by tens of metres in their edges.
    shift = stream(spec.seed, "swath", *passage.key).normal(0, 35.0) / PIXEL_METRES
    share = stream(spec.seed, "swath", track.relative_orbit).random()
    if track.swath_west:
        mask &= place >= spec.width * np.interp(share, (0, 1), track.swath_west) + shift
    if track.swath_east:
        mask &= place < spec.width * np.interp(share, (0, 1), track.swath_east) + shift
    return mask
