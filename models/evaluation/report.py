"""All questions put to one model: numbers, a table to read and a figure."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.evaluation.encoding import PAIR, encode, take_samples, thinned, windows_of
from models.evaluation.features import KINDS, components_of, learn_features
from models.evaluation.reconstruction import reconstruction_errors
from models.evaluation.samples import Samples, Site, TaskError
from models.evaluation.structure import coherence, smoothness
from models.evaluation.tasks import land_cover_by_date, land_cover_by_year, productivity
from models.network import TwoStageModel

Results = dict[str, Any]
Progress = Callable[[str, int, int], None]  # (what, done, in all)

TITLES = {
    "land_cover_by_date": "Land cover from one date, balanced accuracy",
    "land_cover_by_year": "Land cover from a year's seasons, balanced accuracy",
    "productivity": "Gross primary production from 90 days",
    "smoothness": "Change in time, standard deviations",
    "coherence": "Distance of neighbours, standard deviations",
}
# Which of the numbers say "better" when they are higher; of the others lower is better.
HIGHER = {"linear", "forest", "ridge_r2", "forest_r2", "ratio"}
# Parts of a ratio, what also holds true change, and what says once more what R² says.
UNJUDGED = {"inside", "across", "change", "forest_rmse"}
DIGITS = 3  # after the point; what shows the same is a tie
NO_SAMPLES = "there is no pixel and date with an embedding"


def evaluate(
    model: TwoStageModel,
    sites: Sequence[Site],
    most: int = 40_000,
    decoded: int = 2000,
    progress: Progress | None = None,
) -> tuple[Results, list[Samples]]:
    """Put all questions to a model at `sites`, which are one kind of place: simulated scenes, or one real site.

    Parameters
    ----------
    most : int
        Embeddings to compute at most, of all sites together; of more, pixels are sampled: see `thinned`.
    decoded : int
        Windows to reconstruct, drawn from those embedded.

    Returns
    -------
    results : dict
        ``samples``, ``available`` and ``step`` (of the sampling), ``sites``, ``answering`` (how many of them have
        samples), ``size`` of an embedding, ``components`` to compare it with, ``reconstruction`` and one entry for each
        of `TITLES`; a task that the sites cannot answer has the reason, a text, in the numbers' place.
    samples : list of Samples
        What they were computed from, of each site that has any.
    """
    everything = [windows_of(model, site) for site in sites]
    windows, step = thinned(everything, most)
    encoded = []
    for i, (site, own) in enumerate(zip(sites, windows, strict=True)):

        def report(done: int, total: int, share: float = i / len(sites)) -> None:
            if progress:
                progress("embedding", int(1000 * (share + done / max(total, 1) / len(sites))), 1000)

        encoded.append(encode(model, site, own, report))
    samples = [s for s in (take_samples(model, e) for e in encoded) if len(s)]
    results: Results = {
        "sites": [s.name for s in sites],
        "answering": len(samples),
        "samples": sum(map(len, samples)),
        "available": sum(map(len, everything)),
        "step": step,
        "size": model.card.size,
        "components": components_of(samples) if sum(map(len, samples)) > 1 else 0,
        **_answers(samples, progress),
    }
    if progress:
        progress("reconstruction", len(TITLES), len(TITLES) + 1)
    results["reconstruction"] = reconstruction_errors(model, encoded, decoded)
    return results, samples


def _answers(samples: Sequence[Samples], progress: Progress | None) -> Results:
    tasks: dict[str, Callable[[Sequence[Samples]], Any]] = {
        "land_cover_by_date": land_cover_by_date,
        "land_cover_by_year": land_cover_by_year,
        "productivity": productivity,
        "smoothness": smoothness,
        "coherence": coherence,
    }
    if not samples:
        return dict.fromkeys(tasks, NO_SAMPLES)
    answers: Results = {}
    for number, (name, task) in enumerate(tasks.items()):
        if progress:
            progress(TITLES[name], number, len(tasks) + 1)
        try:
            answers[name] = task(samples)
        except TaskError as error:
            answers[name] = str(error)
    return answers


def to_markdown(results: Mapping[str, Any]) -> list[str]:
    """The lines of the tables, with a sentence for each question that the embeddings do not win."""
    lines = [
        f"{', '.join(results['sites'])}. {_sampled(results)}",
        "",
        f"| question | | embedding | bands of the same moment | {_components(results)} of the bands |",
        "|---|---|---:|---:|---:|",
    ]
    for name, title in TITLES.items():
        answer = results[name]
        if isinstance(answer, str):
            lines.append(f"| {title} | not asked: {answer} | | | |")
            continue
        for measure in answer["embedding"]:
            cells = " | ".join(_bold(answer, kind, measure) for kind in KINDS)
            lines.append(f"| {title} | {measure.replace('_', ' ')} | {cells} |")
    return [*lines, "", *_honest(results), "", *_reconstruction(results["reconstruction"])]


def _components(results: Mapping[str, Any]) -> str:
    few = results["components"] < results["size"]
    return f"{results['components'] if few else 'as many'} principal components"


def _sampled(results: Mapping[str, Any]) -> str:
    """Say how many embeddings the numbers are from."""
    pixels = f"{PAIR} x {PAIR} pixels in every {results['step']} x {results['step']}"
    whole = "all of them" if results["step"] == PAIR else f"a sample, {pixels} on all their dates"
    return (
        f"{results['available']} pixels and dates can be embedded; the numbers are from {whole} "
        f"({results['samples']} where no band is missing at the pixel)."
    )


def _bold(answer: Mapping[str, Mapping[str, float]], kind: str, measure: str) -> str:
    value = f"{answer[kind][measure]:.{DIGITS}f}"
    return f"**{value}**" if _best(answer, measure) == [kind] else value


def _best(answer: Mapping[str, Mapping[str, float]], measure: str) -> list[str]:
    """The best kinds of features, several where they tie; none where there is nothing to compare."""
    values = {kind: round(answer[kind][measure], DIGITS) for kind in KINDS}
    if measure in UNJUDGED or not np.isfinite(list(values.values())).all():
        return []
    best = (max if measure in HIGHER else min)(values.values())
    return [kind for kind in KINDS if values[kind] == best]


def _honest(results: Mapping[str, Any]) -> list[str]:
    """Say where a simple baseline is better, from the numbers; what the embeddings tie with a baseline nobody wins."""
    lost, asked, ties = [], 0, 0
    for name, title in TITLES.items():
        answer = results[name]
        for measure in () if isinstance(answer, str) else answer["embedding"]:
            best = _best(answer, measure)
            asked += bool(best)
            ties += "embedding" in best and len(best) > 1
            if best and "embedding" not in best:
                ours, theirs = (answer[kind][measure] for kind in ("embedding", best[0]))
                lost.append(f"{title} ({measure.replace('_', ' ')}: {theirs:.3f} against {ours:.3f})")
    if not asked:
        return ["Nothing could be compared."]
    tied = f" Ties: {ties} of {asked}." if ties else ""
    if not lost:
        won = f"{asked - ties} of {asked}" if ties else f"all {asked}"
        return [f"The embeddings are best in {won} comparisons.{tied}"]
    return [
        f"Simple baselines, the bands themselves or their principal components, are better in {len(lost)} of {asked} "
        f"comparisons: {'; '.join(lost)}.{tied}"
    ]


def _reconstruction(errors: Mapping[str, Sequence[Mapping[str, Any]]]) -> list[str]:
    lines = [
        "| centre pixel given back | of | windows | stage 1 | fusion | a constant |",
        "|---|---|---:|---:|---:|---:|",
    ]
    for modality, rows in errors.items():
        for r in rows:
            numbers = " | ".join(f"{r[k]:.5f}" for k in ("stage1", "fusion", "constant"))
            lines.append(f"| {modality} | {r['of']} | {r['n']} | {numbers} |")
    return lines


def draw_figure(file: Path, title: str, results: Mapping[str, Any], samples: Sequence[Samples]) -> None:
    """Draw a PNG file: the comparison and the errors of reconstruction as bars, a date as maps, a pixel as series."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(13, 8), layout="constrained")
    figure.suptitle(title)
    bars = [
        (name, measure)
        for name, measures in (
            ("land_cover_by_date", ("linear", "forest")),
            ("land_cover_by_year", ("linear", "forest")),
            ("productivity", ("ridge_r2", "forest_r2")),
        )
        if not isinstance(results[name], str)
        for measure in measures
    ]
    grid = figure.add_gridspec(2, 3)
    _draw_bars(figure.add_subplot(grid[0, :2]), results, bars)
    _draw_errors(figure.add_subplot(grid[0, 2]), results["reconstruction"])
    for column, (kind, label) in enumerate((("bands", "the bands"), ("embedding", "the embedding"))):
        axes = figure.add_subplot(grid[1, column])
        picture, date = _map(samples[0], kind)
        axes.imshow(picture)
        axes.set_title(f"Three principal components of {label}, {date}", fontsize=9)
        axes.set_axis_off()
    _draw_series(figure.add_subplot(grid[1, 2]), samples[0])
    figure.savefig(file, dpi=110)


def _draw_bars(axes: Any, results: Mapping[str, Any], bars: Sequence[tuple[str, str]]) -> None:
    for i, kind in enumerate(KINDS):
        heights = [results[name][kind][measure] for name, measure in bars]
        axes.bar(np.arange(len(bars)) + 0.27 * (i - 1), heights, 0.25, label=kind)
    labels = [
        f"{name.replace('_', ' ').replace(' by', chr(10) + 'by')}\n{measure.replace('_', ' ')}"
        for name, measure in bars
    ]
    axes.set_xticks(np.arange(len(bars)), labels, fontsize=8)
    axes.set_ylim(0, 1.15)  # both end at 1; room for the legend
    axes.set_title("Balanced accuracy, or R²", fontsize=9)
    axes.legend(fontsize=8, ncols=len(KINDS), loc="upper center")
    axes.grid(axis="y", alpha=0.3)


def _draw_errors(axes: Any, reconstruction: Mapping[str, Sequence[Mapping[str, Any]]]) -> None:
    rows = [row for modality in reconstruction.values() for row in modality if row["by"] == "band"]
    places = np.arange(len(rows))
    for i, kind in enumerate(("stage1", "fusion", "constant")):
        axes.bar(places + 0.27 * (i - 1), [row[kind] for row in rows], 0.25, label=kind)
    axes.set_yscale("log")
    axes.set_xticks(places, [row["of"] for row in rows], fontsize=7, rotation=60)
    axes.set_title("Mean absolute error of the centre pixel given back", fontsize=9)
    axes.set_ylim(top=3 * axes.get_ylim()[1])
    axes.legend(fontsize=7, ncols=3, loc="upper center")
    axes.grid(axis="y", alpha=0.3)


def _map(samples: Samples, kind: str) -> tuple[NDArray[np.float64], str]:
    """The date with most embeddings as a picture (y, x, 3), 0 to 1, NaN where there is none; and that date."""
    from sklearn.decomposition import PCA

    dates, counts = np.unique(samples.time, return_counts=True)
    rows = np.flatnonzero(samples.time == dates[counts.argmax()])
    values = learn_features(kind, [samples])(samples)[rows]
    found = PCA(min(3, *values.shape), random_state=0).fit_transform(values) if len(rows) > 1 else values[:, :1]
    values = np.pad(found, ((0, 0), (0, 3 - found.shape[1])))  # black where there are fewer
    low, high = np.percentile(values, [2, 98], axis=0)
    picture = np.full((*samples.site.land_cover.shape, 3), np.nan)
    picture[samples.row[rows], samples.column[rows]] = np.clip((values - low) / np.maximum(high - low, 1e-9), 0, 1)
    seen = np.asarray(np.isfinite(picture[..., 0]))
    date = str(dates[counts.argmax()].astype("datetime64[D]"))
    return picture[seen.any(1)][:, seen.any(0)], date  # without the rows and columns that are not sampled


def _draw_series(axes: Any, samples: Samples) -> None:
    pixels, counts = np.unique(samples.pixel, return_counts=True)
    own = samples.pixel == pixels[counts.argmax()]
    axes.plot(samples.time[own], samples.embedding[own], marker=".", linewidth=0.8)
    axes.set_title("All numbers of one pixel's embedding", fontsize=9)
    axes.tick_params(axis="x", rotation=30, labelsize=8)
    axes.grid(alpha=0.3)
