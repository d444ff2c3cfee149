"""The log of a run: a CSV file that survives a kill, and a plot of its curves."""

from __future__ import annotations

import csv
from collections.abc import Mapping
from pathlib import Path

METRICS_FILE = "metrics.csv"
PLOT_FILE = "curves.png"
COLUMNS = ("step", "epoch", "loss", "center", "rate", "waited", "validation")


class Log:
    """Rows in a run's `metrics.csv`: of training (``loss``, ``center``, ``waited``) and of validation.

    ``validation`` is the mean absolute error at the centre, averaged over modalities; further columns hold each
    modality's. ``waited`` is the share of the time since the last row that the network waited for data.
    """

    def __init__(self, folder: Path, modalities: tuple[str, ...]) -> None:
        self.path = folder / METRICS_FILE
        self.columns = (*COLUMNS, *(f"validation_{m}" for m in modalities))

    def begin(self, step: int) -> None:
        """Start at a step: rows of later ones, written before a kill, are dropped."""
        rows = [row for row in read_metrics(self.path) if row["step"] <= step] if step else []
        temporary = self.path.with_suffix(".part")
        with temporary.open("w", newline="", encoding="utf-8") as stream:
            writer = csv.DictWriter(stream, self.columns)
            writer.writeheader()
            writer.writerows(rows)
        temporary.replace(self.path)

    def write(self, row: Mapping[str, float]) -> None:
        """Append a row."""
        with self.path.open("a", newline="", encoding="utf-8") as stream:
            csv.DictWriter(stream, self.columns).writerow({k: _short(v) for k, v in row.items()})


def read_metrics(path: Path) -> list[dict[str, float]]:
    """Read the rows of a log; columns without a value are left out, and so is a row cut off by a kill."""
    if not path.exists():
        return []
    with path.open(newline="", encoding="utf-8") as stream:
        rows = list(csv.DictReader(stream))
    found = []
    for row in rows:
        try:
            found.append({k: float(v) for k, v in row.items() if v})
        except (TypeError, ValueError):
            continue
    return [row for row in found if "step" in row]


def plot(folder: Path) -> Path | None:
    """Draw the curves of a run into `curves.png`; None where there is nothing to draw."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    rows = read_metrics(folder / METRICS_FILE)
    if not rows:
        return None
    figure = Figure(figsize=(9, 6), layout="constrained")
    FigureCanvasAgg(figure)
    errors, rates = figure.subplots(2, 1, sharex=True, height_ratios=[3, 1])
    names = sorted({name for row in rows for name in row if name == "loss" or name.startswith("validation")})
    for name in names:
        points = [(row["step"], row[name]) for row in rows if name in row]
        errors.plot(*zip(*points, strict=True), label=name, marker="." if len(points) < 30 else None)
    errors.set_yscale("log")
    errors.set_ylabel("loss, error at the centre")
    errors.legend()
    points = [(row["step"], row["rate"]) for row in rows if "rate" in row]
    if points:
        rates.plot(*zip(*points, strict=True))
    rates.set_ylabel("learning rate")
    rates.set_xlabel("step")
    figure.savefig(folder / PLOT_FILE, dpi=110)
    return folder / PLOT_FILE


def _short(value: float) -> str:
    return str(value) if isinstance(value, int) else f"{value:.6g}"
