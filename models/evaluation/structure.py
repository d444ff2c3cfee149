"""How features vary: little from one clear day to the next, more between fields than inside them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from models.evaluation.features import KINDS, learn_features
from models.evaluation.samples import NO_CLASS, Numbers, Samples, Table, TaskError

LONGEST = 20  # days from the first to the third of three dates
SHORTEST_STEP = 6  # days: two dates at most so far apart count as neighbours


def smoothness(sites: Sequence[Samples]) -> dict[str, dict[str, float]]:
    """How much features of a pixel change in time, in standard deviations over all samples.

    Returns
    -------
    dict
        By kind of features: ``change``, root mean square of the change between neighbouring dates (at most six days
        apart); ``noise``, how far the middle one of three dates within twenty days lies from the straight line between
        the others, as is done for reflectances (Vermote et al. 2009, doi:10.1109/TGRS.2008.2005977), scaled so that
        independent errors of standard deviation one give one.
    """
    results = {}
    for kind in KINDS:
        maker = learn_features(kind, sites)
        change: list[Table] = []
        noise: list[Table] = []
        for samples in sites:
            values = maker(samples)
            change.append(_changes(samples, values))
            noise.append(_residuals(samples, values))
        results[kind] = {"change": _rms(change), "noise": _rms(noise)}
    return results


def coherence(sites: Sequence[Samples]) -> dict[str, dict[str, float]]:
    """How alike neighbouring pixels are inside fields and across their borders, on the same date.

    Returns
    -------
    dict
        By kind of features: ``inside`` and ``across``, root mean square distance of neighbours in standard deviations,
        and their ``ratio`` across / inside: the larger, the clearer fields stand out.

    Raises
    ------
    TaskError
        There are no such neighbours.
    """
    results = {}
    for kind in KINDS:
        maker = learn_features(kind, sites)
        inside: list[Table] = []
        across: list[Table] = []
        for samples in sites:
            first, second = _neighbours(samples)
            values, field = maker(samples), samples.field
            known = (field[first] != NO_CLASS) & (field[second] != NO_CLASS)
            difference = values[first[known]] - values[second[known]]
            same = field[first[known]] == field[second[known]]
            inside.append(difference[same])
            across.append(difference[~same])
        if not sum(map(len, inside)) or not sum(map(len, across)):
            raise TaskError("no two neighbouring pixels with embeddings lie in one field, or none in two")
        a, b = _rms(inside), _rms(across)
        results[kind] = {"inside": a, "across": b, "ratio": b / a if a else float("inf")}
    return results


def _rms(parts: list[Table]) -> float:
    values = np.concatenate(parts)
    return float(np.sqrt(np.mean(values.astype(np.float64) ** 2))) if len(values) else float("nan")


def _days(samples: Samples) -> Table:
    return np.asarray((samples.time - samples.time.min()) / np.timedelta64(1, "D"), np.float32)


def _changes(samples: Samples, values: Table) -> Table:
    day, pixel = _days(samples), samples.pixel
    near = np.flatnonzero((np.diff(pixel) == 0) & (np.diff(day) <= SHORTEST_STEP))
    return values[near + 1] - values[near]


def _residuals(samples: Samples, values: Table) -> Table:
    day, pixel = _days(samples), samples.pixel
    first = np.flatnonzero((pixel[2:] == pixel[:-2]) & (day[2:] - day[:-2] <= LONGEST))
    share = ((day[first + 1] - day[first]) / (day[first + 2] - day[first]))[:, None]
    line = values[first] + share * (values[first + 2] - values[first])
    return np.asarray((values[first + 1] - line) / np.sqrt(1 + share**2 + (1 - share) ** 2), np.float32)


def _neighbours(samples: Samples) -> tuple[Numbers, Numbers]:
    """Pairs of samples of one date whose pixels touch along a side: (first, second) row numbers."""
    shape = samples.site.land_cover.shape
    pairs: list[tuple[Numbers, Numbers]] = []
    for date in np.unique(samples.time):
        rows = np.flatnonzero(samples.time == date)
        at = np.full(shape, -1)
        at[samples.row[rows], samples.column[rows]] = rows
        for a, b in ((at[:, :-1], at[:, 1:]), (at[:-1], at[1:])):
            both = (a >= 0) & (b >= 0)
            pairs.append((a[both], b[both]))
    return np.concatenate([p[0] for p in pairs]), np.concatenate([p[1] for p in pairs])
