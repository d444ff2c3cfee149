"""How well the decoders give back the centre pixel, by band, land cover and cloud."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from models.engine.patches import Patches, make_patches
from models.engine.quality import decoded_bottleneck, decoded_centre
from models.evaluation.encoding import MIDDLE, Encoded
from models.evaluation.samples import NO_CLASS, Numbers, Table
from models.frames import EDGE, WindowList
from models.network import TwoStageModel

MOST = 2000
CLOUDS = ((0.0, 0.05), (0.05, 0.25), (0.25, 0.5), (0.5, 1.01))  # share of the window's values that is missing
AT_ONCE = 256


@dataclass(frozen=True)
class _Errors:
    """Absolute errors of a sensor at the centre of windows, (n, channels), NaN where the value is missing."""

    stage1: Table
    fusion: Table
    constant: Table
    missing: Table  # (n,) share of the window's values
    land_cover: Numbers  # (n,)


def reconstruction_errors(
    model: TwoStageModel, sites: Sequence[Encoded], most: int = MOST, seed: int = 0
) -> dict[str, list[dict[str, float | int | str]]]:
    """Mean absolute error at the valid values of the centre pixel and date, in preprocessed units.

    Parameters
    ----------
    most : int
        Windows to decode, of all sites together, drawn at random.

    Returns
    -------
    dict of modality to rows
        ``of`` (all, a band, a class or a range of missing values: ``by`` tells which), number ``n`` of windows,
        ``stage1``: decoded from the sensor's own bottleneck; ``fusion``: from the embedding; ``constant``: the error of
        each band's mean.
    """
    random = np.random.default_rng(seed)
    found: dict[str, list[_Errors]] = {m.id: [] for m in model.card.modalities}
    for encoded in sites:
        drawn = _draw(encoded, most // len(sites), random)
        if len(drawn.windows):
            for m, errors in found.items():
                errors.append(_errors(model, drawn, m))
    names = {code: name for e in sites for code, name in e.site.classes.items()}
    return {m: _rows(parts, model.card.modality(m).bands, names) for m, parts in found.items() if parts}


def _draw(encoded: Encoded, most: int, random: np.random.Generator) -> Encoded:
    chosen = np.sort(random.permutation(len(encoded.windows))[: max(most, 1)])
    numbers = {name: values[chosen] for name, values in encoded.numbers.items()}
    return Encoded(encoded.site, encoded.windows.take(chosen), numbers)


def _errors(model: TwoStageModel, encoded: Encoded, modality: str) -> _Errors:
    site, windows = encoded.site, encoded.windows
    row, column = windows.row + EDGE, windows.column + EDGE
    truth = site.cubes[modality][:, windows.frames[modality][:, MIDDLE], row, column].T
    truth = np.where(np.isfinite(truth), truth, np.nan)
    known = np.isfinite(truth)
    mean = np.where(known, truth, 0).sum(axis=0, keepdims=True) / np.maximum(known.sum(axis=0, keepdims=True), 1)
    return _Errors(
        np.abs(decoded_bottleneck(model, modality, windows, encoded.numbers[modality]) - truth),
        np.abs(decoded_centre(model, modality, windows, encoded.numbers["embedding"]) - truth),
        np.abs(mean - truth),
        _missing(make_patches(site.cubes[modality], model.device), windows, modality),
        site.land_cover[row, column],
    )


def _missing(patches: Patches, windows: WindowList, modality: str) -> Table:
    """Share of each window's values that is missing, (n,)."""
    frames = torch.from_numpy(windows.frames[modality])
    shares = []
    for i in range(0, len(windows), AT_ONCE):
        part = slice(i, i + AT_ONCE)
        index = (
            frames[part],
            torch.from_numpy(windows.row[part])[:, None],
            torch.from_numpy(windows.column[part])[:, None],
        )
        shares.append(patches.missing[index].float().flatten(1).mean(1).cpu().numpy())
    return np.concatenate(shares)


def _rows(parts: Sequence[_Errors], bands: Sequence[str], names: dict[int, str]) -> list[dict[str, float | int | str]]:
    whole = _Errors(*(np.concatenate([getattr(p, f) for p in parts]) for f in _Errors.__dataclass_fields__))
    every = np.ones(len(whole.missing), bool)
    rows = [_row("all", "all", whole, every, slice(None))]
    rows += [_row("band", band, whole, every, slice(i, i + 1)) for i, band in enumerate(bands)]
    for code in np.unique(whole.land_cover[whole.land_cover != NO_CLASS]):
        rows.append(_row("class", names.get(int(code), str(code)), whole, whole.land_cover == code, slice(None)))
    for low, high in CLOUDS:
        chosen = (whole.missing >= low) & (whole.missing < high)
        if chosen.any():
            rows.append(_row("missing", f"{low:.0%} to {min(high, 1):.0%} missing", whole, chosen, slice(None)))
    return rows


def _row(by: str, of: str, errors: _Errors, rows: NDArray[np.bool_], bands: slice) -> dict[str, float | int | str]:
    def mean(values: Table) -> float:
        chosen = values[rows][:, bands]
        return float(np.nanmean(chosen)) if np.isfinite(chosen).any() else float("nan")

    return {
        "by": by,
        "of": of,
        "n": int(rows.sum()),
        "stage1": mean(errors.stage1),
        "fusion": mean(errors.fusion),
        "constant": mean(errors.constant),
    }
