"""What can be told from embeddings and from bands: land cover, and gross primary production.

Every task is learnt on some sites, or fields, and tested on others: neighbours are alike, so a test on the training's
own fields would flatter all of them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.ensemble import RandomForestClassifier, RandomForestRegressor
from sklearn.linear_model import LogisticRegression, RidgeCV
from sklearn.metrics import balanced_accuracy_score, r2_score, root_mean_squared_error
from sklearn.model_selection import StratifiedGroupKFold

from models.evaluation.features import KINDS, FeatureMaker, learn_features
from models.evaluation.samples import NO_CLASS, Numbers, Samples, Table, TaskError

MOST = 4000  # samples to learn from, and as many to test with
FOLDS = 4
FEWEST_FIELDS = 2  # of a class, so that it can be learnt from one field and tested on another
DAY = np.timedelta64(1, "D")
WINDOW_DAYS, STEP_DAYS = 90, 10  # Peters et al. 2026 regress daily production on embeddings of the 90 days before
SEASON_DAYS = 91


@dataclass(frozen=True)
class _Split:
    """Row numbers to learn from and to test with, in the samples of all sites put together."""

    learn: Numbers
    test: Numbers


def land_cover_by_date(sites: Sequence[Samples], seed: int = 0) -> dict[str, dict[str, float]]:
    """Tell the class of a pixel from a single date.

    Returns
    -------
    dict
        By kind of features (`KINDS`): balanced accuracy (mean recall of the classes) of a ``linear`` probe (logistic
        regression) and of a random ``forest``.

    Raises
    ------
    TaskError
        Fewer than two classes with two fields each, or that are both in what is learnt from and in what is tested.
    """
    return _classify(sites, lambda maker, samples: maker(samples), _rows_of_dates, seed)


def land_cover_by_year(sites: Sequence[Samples], seed: int = 0) -> dict[str, dict[str, float]]:
    """Tell the class of a pixel from its medians of each three months; see `land_cover_by_date`."""
    return _classify(sites, _seasons, _rows_of_pixels, seed)


def productivity(sites: Sequence[Samples], seed: int = 0) -> dict[str, dict[str, float]]:
    """Tell a day's gross primary production from the features of the 90 days before it.

    Features are interpolated between a pixel's dates to one value in ten days; the days come from places held out.

    Returns
    -------
    dict
        By kind of features: ``ridge_r2``, ``forest_r2`` and ``forest_rmse`` (g C m-2 d-1).
    """
    known = [s for s in sites if s.site.productivity is not None and s.site.days is not None and len(s)]
    if len(known) < 2:
        raise TaskError(
            f"productivity is known at {len(known)} sites; two are needed, to learn at one and test at another"
        )
    random = np.random.default_rng(seed)
    drawn = [_days(s, 2 * MOST // len(known), random) for s in known]
    half = (len(known) + 1) // 2
    target = [np.concatenate([d.target for d in part]) for part in (drawn[:half], drawn[half:])]
    results = {}
    for kind in KINDS:
        maker = learn_features(kind, known[:half])
        x = [np.concatenate([d.features(maker) for d in part]) for part in (drawn[:half], drawn[half:])]
        ridge = RidgeCV(np.logspace(-2, 4, 13)).fit(x[0], target[0]).predict(x[1])
        forest = _forest(RandomForestRegressor, seed, max_features=1 / 3).fit(x[0], target[0]).predict(x[1])
        results[kind] = {
            "ridge_r2": float(r2_score(target[1], ridge)),
            "forest_r2": float(r2_score(target[1], forest)),
            "forest_rmse": float(root_mean_squared_error(target[1], forest)),
        }
    return results


def _classify(
    sites: Sequence[Samples],
    features: Callable[[FeatureMaker, Samples], Table],
    rows: Callable[[Samples], Numbers],
    seed: int,
) -> dict[str, dict[str, float]]:
    """Cross-validate both classifiers on all kinds of features."""
    first = [rows(s) for s in sites]  # the sample that stands for each row: its pixel, class and field
    classes = np.concatenate([s.land_cover[r] for s, r in zip(sites, first, strict=True)])
    groups = _groups(sites, first)
    usable = _usable(classes, groups)
    splits = list(_splits(sites, first, classes, groups, usable, seed))
    if any(len(np.unique(classes[part])) < 2 for split in splits for part in (split.learn, split.test)):
        raise TaskError("the sites, or fields, to learn from and to test with have fewer than two classes in common")
    results = {}
    for kind in KINDS:
        scores: dict[str, list[float]] = {"linear": [], "forest": []}
        for split in splits:
            x = _stacked(sites, first, kind, split, features)
            for name, model in _classifiers(seed).items():
                guess = model.fit(x[split.learn], classes[split.learn]).predict(x[split.test])
                scores[name].append(_recall(classes[split.test], guess))
        results[kind] = {name: float(np.mean(values)) for name, values in scores.items()}
    return results


def _stacked(
    sites: Sequence[Samples],
    first: Sequence[Numbers],
    kind: str,
    split: _Split,
    features: Callable[[FeatureMaker, Samples], Table],
) -> Table:
    """Features of all rows, standardised by what the learning rows' pixels show."""
    ends = np.cumsum([0, *(len(r) for r in first)])
    training = []
    for samples, rows, (begin, end) in zip(sites, first, pairwise(ends), strict=True):
        chosen = split.learn[(split.learn >= begin) & (split.learn < end)] - begin
        if len(chosen):
            pixels = samples.pixel[rows[chosen]]
            training.append(subset(samples, np.flatnonzero(np.isin(samples.pixel, pixels))))
    maker = learn_features(kind, training)
    return np.concatenate([features(maker, s) for s in sites])


def _groups(sites: Sequence[Samples], first: Sequence[Numbers]) -> Numbers:
    """A number for each row's field; of a site without fields the whole site is one."""
    parts, offset = [], 0
    for samples, rows in zip(sites, first, strict=True):
        parts.append(samples.field[rows] + 1 + offset)
        offset += int(samples.site.fields.max(initial=NO_CLASS)) + 2
    return np.concatenate(parts)


def _usable(classes: Numbers, groups: Numbers) -> NDArray[np.bool_]:
    """Rows of classes that grow in at least two fields."""
    kept = [c for c in np.unique(classes[classes != NO_CLASS]) if len(np.unique(groups[classes == c])) >= FEWEST_FIELDS]
    if len(kept) < 2:
        raise TaskError(
            f"only {len(kept)} class(es) have pixels with embeddings in at least {FEWEST_FIELDS} fields; two are needed"
        )
    return np.asarray(np.isin(classes, kept))


def _splits(
    sites: Sequence[Samples],
    first: Sequence[Numbers],
    classes: Numbers,
    groups: Numbers,
    usable: NDArray[np.bool_],
    seed: int,
) -> Iterator[_Split]:
    """Several sites: learn at every second one, test at the others, and the other way round. One site: by field."""
    random = np.random.default_rng(seed)
    if len(sites) > 1:
        parity = np.concatenate([np.full(len(r), i % 2) for i, r in enumerate(first)])
        pairs: Any = [(parity == 0, parity == 1), (parity == 1, parity == 0)]
        for learn, test in pairs:
            shared = np.intersect1d(classes[learn & usable], classes[test & usable])
            known = np.isin(classes, shared) & usable
            yield _Split(_some(learn & known, random), _some(test & known, random))
        return
    rows = np.flatnonzero(usable)
    fields = min(len(np.unique(groups[usable & (classes == c)])) for c in np.unique(classes[usable]))
    folds = StratifiedGroupKFold(min(FOLDS, fields), shuffle=True, random_state=seed)
    for learn, test in folds.split(rows, classes[rows], groups[rows]):
        inside = [np.isin(np.arange(len(classes)), rows[part]) for part in (learn, test)]
        yield _Split(_some(inside[0], random), _some(inside[1], random))


def _some(chosen: NDArray[np.bool_], random: np.random.Generator) -> Numbers:
    rows = np.flatnonzero(chosen)
    return np.sort(random.permutation(rows)[:MOST])


def _classifiers(seed: int) -> dict[str, Any]:
    linear = LogisticRegression(max_iter=2000, class_weight="balanced")
    return {"linear": linear, "forest": _forest(RandomForestClassifier, seed, class_weight="balanced")}


def _forest(kind: Any, seed: int, **options: Any) -> Any:
    return kind(100, min_samples_leaf=3, random_state=seed, **options)


def _recall(truth: Numbers, guess: Numbers) -> float:
    """Balanced accuracy over the classes that are in the truth; guesses of others count as wrong."""
    present = np.isin(guess, truth)
    return float(balanced_accuracy_score(truth, np.where(present, guess, truth.min() - 1)))


def _rows_of_dates(samples: Samples) -> Numbers:
    return np.arange(len(samples))


def _rows_of_pixels(samples: Samples) -> Numbers:
    return np.asarray(np.unique(samples.pixel, return_index=True)[1])


def _seasons(maker: FeatureMaker, samples: Samples) -> Table:
    """Medians of each pixel's three-month parts of the year; of a part without dates those of all its dates."""
    values = maker(samples)
    begin = samples.time.astype("datetime64[Y]").astype("datetime64[D]")
    season = np.minimum((samples.time.astype("datetime64[D]") - begin).astype(int) // SEASON_DAYS, 3)
    rows = []
    for part in np.split(np.arange(len(samples)), _rows_of_pixels(samples)[1:]):
        every = np.median(values[part], axis=0)
        own = [values[part[season[part] == s]] for s in range(4)]
        rows.append(np.concatenate([np.median(v, axis=0) if len(v) else every for v in own]))
    return np.asarray(rows, np.float32)


def subset(samples: Samples, rows: Numbers) -> Samples:
    """Some of the samples."""
    return Samples(
        samples.site,
        samples.embedding[rows],
        samples.bands[rows],
        samples.row[rows],
        samples.column[rows],
        samples.time[rows],
    )


@dataclass(frozen=True)
class _Days:
    """Days at pixels of a site: `part` are each one's samples, `target` (n,) g C m-2 d-1."""

    samples: Samples
    day: NDArray[np.datetime64]
    part: list[Numbers]
    target: Table

    def features(self, maker: FeatureMaker) -> Table:
        """Each day's features on the days 0, 10, ..., 80 before it, (n, 9 times features)."""
        values = maker(self.samples)
        when = self.samples.time.astype("datetime64[D]").astype(np.float64)
        wanted = -np.arange(0, WINDOW_DAYS, STEP_DAYS, dtype=np.float64)[::-1]
        rows = [
            [np.interp(wanted + day, when[part], column) for column in values[part].T]
            for day, part in zip(self.day.astype(np.float64), self.part, strict=True)
        ]
        return np.asarray(rows, np.float32).reshape(len(rows), -1)


def _days(samples: Samples, number: int, random: np.random.Generator) -> _Days:
    """Draw pixels and days with at least three dates in the 90 days up to it, one in its last thirty."""
    site = samples.site
    if site.days is None or site.productivity is None:
        raise TaskError(f"productivity is not known at {site.name}")
    starts = np.append(_rows_of_pixels(samples), len(samples))
    when = samples.time.astype("datetime64[D]")
    days: list[np.datetime64] = []
    parts: list[Numbers] = []
    targets: list[float] = []
    for _ in range(8 * number):
        if len(days) == number:
            break
        i, d = random.integers(len(starts) - 1), random.integers(len(site.days))
        own = np.arange(starts[i], starts[i + 1])
        age = (site.days[d] - when[own]).astype(int)
        part = own[(age >= 0) & (age < WINDOW_DAYS)]
        if len(part) >= 3 and (site.days[d] - when[part[-1]]).astype(int) < 30:
            days.append(site.days[d])
            parts.append(part)
            targets.append(site.productivity[d, samples.row[own[0]], samples.column[own[0]]])
    if not days:
        raise TaskError(f"{site.name} has no pixel with three embeddings within {WINDOW_DAYS} days")
    return _Days(samples, np.asarray(days, "datetime64[D]"), parts, np.asarray(targets, np.float32))
