"""All questions put to one model: numbers, a table to read and a figure."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.evaluation.features import KINDS, learn_features
from models.evaluation.reconstruction import reconstruction_errors
from models.evaluation.samples import Samples, Site, take_samples
from models.evaluation.structure import coherence, smoothness
from models.evaluation.tasks import TaskError, land_cover_by_date, land_cover_by_year, productivity
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
UNJUDGED = {"inside", "across", "change"}  # parts of a ratio, and what also holds true change


def evaluate(
    model: TwoStageModel, sites: Sequence[Site], pixels: int = 24, progress: Progress | None = None
) -> tuple[Results, list[Samples]]:
    """Put all questions to a model at `sites`, which are one kind of place: simulated scenes, or one real site.

    Returns
    -------
    results : dict
        ``samples``, ``sites``, ``reconstruction`` and one entry for each of `TITLES`; a task that the sites cannot
        answer has the reason, a text, in the numbers' place.
    samples : list of Samples
        What they were computed from, site by site.
    """
    samples = []
    for i, site in enumerate(sites):

        def report(done: int, total: int, share: float = i / len(sites)) -> None:
            if progress:
                progress("embedding", int(1000 * (share + done / max(total, 1) / len(sites))), 1000)

        samples.append(take_samples(model, site, report))
    results: Results = {"sites": [s.name for s in sites], "samples": sum(map(len, samples))}
    tasks: dict[str, Callable[[Sequence[Samples]], Any]] = {
        "land_cover_by_date": land_cover_by_date,
        "land_cover_by_year": land_cover_by_year,
        "productivity": productivity,
        "smoothness": smoothness,
        "coherence": coherence,
    }
    for number, (name, task) in enumerate(tasks.items()):
        if progress:
            progress(TITLES[name], number, len(tasks) + 1)
        try:
            results[name] = task(samples)
        except TaskError as error:
            results[name] = str(error)
    if progress:
        progress("reconstruction", len(tasks), len(tasks) + 1)
    results["reconstruction"] = reconstruction_errors(model, sites, pixels)
    return results, samples


def to_markdown(results: Mapping[str, Any]) -> list[str]:
    """The lines of the tables, with a sentence for each question that the embeddings do not win."""
    lines = [
        f"{results['samples']} pixels and dates with an embedding; {', '.join(results['sites'])}.",
        "",
        "| question | | embedding | bands of the same moment | as many principal components of the bands |",
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


def _bold(answer: Mapping[str, Mapping[str, float]], kind: str, measure: str) -> str:
    value = f"{answer[kind][measure]:.3f}"
    return f"**{value}**" if measure not in UNJUDGED and _best(answer, measure) == kind else value


def _best(answer: Mapping[str, Mapping[str, float]], measure: str) -> str:
    choose = max if measure in HIGHER else min
    return choose(KINDS, key=lambda kind: answer[kind][measure])


def _honest(results: Mapping[str, Any]) -> list[str]:
    """Say where a simple baseline is better."""
    lost = [
        f"{title} ({measure.replace('_', ' ')}: {answer[best][measure]:.3f} against {answer['embedding'][measure]:.3f})"
        for name, title in TITLES.items()
        if not isinstance(answer := results[name], str)
        for measure in answer["embedding"]
        if measure not in UNJUDGED and (best := _best(answer, measure)) != "embedding"
    ]
    if not lost:
        return ["The embeddings are best at all of it."]
    return [f"Simple baselines, the bands themselves or their principal components, are better at: {'; '.join(lost)}."]


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
    """Draw the comparison as bars, and one date of the first site as a map and one pixel as series, to a PNG file."""
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
    _draw_bars(figure.add_subplot(grid[0, :]), results, bars)
    for column, (kind, label) in enumerate((("bands", "the bands"), ("embedding", "the embedding"))):
        axes = figure.add_subplot(grid[1, column])
        axes.imshow(_map(samples[0], kind))
        axes.set_title(f"Three principal components of {label}", fontsize=9)
        axes.set_axis_off()
    _draw_series(figure.add_subplot(grid[1, 2]), samples[0])
    figure.savefig(file, dpi=110)


def _draw_bars(axes: Any, results: Mapping[str, Any], bars: Sequence[tuple[str, str]]) -> None:
    for i, kind in enumerate(KINDS):
        heights = [results[name][kind][measure] for name, measure in bars]
        axes.bar(np.arange(len(bars)) + 0.27 * (i - 1), heights, 0.25, label=kind)
    labels = [f"{name.replace('_', ' ')}\n{measure.replace('_', ' ')}" for name, measure in bars]
    axes.set_xticks(np.arange(len(bars)), labels, fontsize=8)
    axes.set_ylim(bottom=0)
    axes.legend(title="balanced accuracy, or R²", fontsize=8)
    axes.grid(axis="y", alpha=0.3)


def _map(samples: Samples, kind: str) -> NDArray[np.float64]:
    """The date with most embeddings as a picture (y, x, 3), 0 to 1, NaN where there is none."""
    from sklearn.decomposition import PCA

    dates, counts = np.unique(samples.time, return_counts=True)
    rows = np.flatnonzero(samples.time == dates[counts.argmax()])
    values = PCA(3, random_state=0).fit_transform(learn_features(kind, [samples])(samples)[rows])
    low, high = np.percentile(values, [2, 98], axis=0)
    picture = np.full((*samples.site.land_cover.shape, 3), np.nan)
    picture[samples.row[rows], samples.column[rows]] = np.clip((values - low) / np.maximum(high - low, 1e-9), 0, 1)
    seen = np.asarray(np.isfinite(picture[..., 0]))
    rows_seen, columns_seen = np.flatnonzero(seen.any(1)), np.flatnonzero(seen.any(0))
    return picture[rows_seen[0] : rows_seen[-1] + 1, columns_seen[0] : columns_seen[-1] + 1]


def _draw_series(axes: Any, samples: Samples) -> None:
    pixels, counts = np.unique(samples.pixel, return_counts=True)
    own = samples.pixel == pixels[counts.argmax()]
    axes.plot(samples.time[own], samples.embedding[own], marker=".", linewidth=0.8)
    axes.set_title("All numbers of one pixel's embedding", fontsize=9)
    axes.tick_params(axis="x", rotation=30, labelsize=8)
    axes.grid(alpha=0.3)
