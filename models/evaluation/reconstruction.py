"""How well the decoders give back the centre pixel, by band, land cover and cloud."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from models.engine.patches import Patches, make_patches
from models.engine.windows import run_windows
from models.evaluation.samples import MIDDLE, NO_CLASS, Numbers, Site, Table, windows_of
from models.frames import EDGE, WindowList
from models.network import TwoStageModel

PIXELS = 24  # of each site, with all their dates: windows of one pixel share most of their frames
CLOUDS = ((0.0, 0.05), (0.05, 0.25), (0.25, 0.5), (0.5, 1.01))  # share of the window's values that is missing
DECODED_AT_ONCE = 256
CENTRE = slice(MIDDLE, MIDDLE + 1)


@dataclass(frozen=True)
class _Errors:
    """Absolute errors of a sensor at the centre of windows, (n, channels), NaN where the value is missing."""

    stage1: Table
    fusion: Table
    constant: Table
    missing: Table  # (n,) share of the window's values
    land_cover: Numbers  # (n,)


def reconstruction_errors(
    model: TwoStageModel, sites: Sequence[Site], pixels: int = PIXELS, seed: int = 0
) -> dict[str, list[dict[str, float | int | str]]]:
    """Mean absolute error at the valid values of the centre pixel and date, in preprocessed units.

    Parameters
    ----------
    pixels : int
        To draw of each site; all of their dates count.

    Returns
    -------
    dict of modality to rows
        ``of`` (``all``, a band, a class or a range of missing values), number ``n`` of windows, ``stage1``: decoded
        from the sensor's own bottleneck; ``fusion``: from the embedding; ``constant``: the error of each band's mean.
    """
    random = np.random.default_rng(seed)
    found: dict[str, list[_Errors]] = {m.id: [] for m in model.card.modalities}
    for site in sites:
        windows = _draw(windows_of(model, site), pixels, random)
        if len(windows):
            for m, errors in _site_errors(model, site, windows).items():
                found[m].append(errors)
    names = {code: name for site in sites for code, name in site.classes.items()}
    return {m: _rows(parts, model.card.modality(m).bands, names) for m, parts in found.items() if parts}


def _draw(windows: WindowList, pixels: int, random: np.random.Generator) -> WindowList:
    place = windows.row * (int(windows.column.max(initial=0)) + 1) + windows.column
    chosen = random.permutation(np.unique(place))[:pixels]
    return windows.take(np.flatnonzero(np.isin(place, chosen)))


def _site_errors(model: TwoStageModel, site: Site, windows: WindowList) -> dict[str, _Errors]:
    values = run_windows(model, site.cubes, windows)
    results = {}
    for m in values:
        if m != "embedding":
            patches = make_patches(site.cubes[m], model.device)
            results[m] = _errors(model, site, windows, m, patches, values)
    return results


@torch.inference_mode()
def _errors(
    model: TwoStageModel, site: Site, windows: WindowList, modality: str, patches: Patches, values: dict[str, Table]
) -> _Errors:
    row, column = windows.row + EDGE, windows.column + EDGE
    truth = site.cubes[modality][:, windows.frames[modality][:, MIDDLE], row, column].T
    truth = np.where(np.isfinite(truth), truth, np.nan)
    embedding = torch.from_numpy(values["embedding"]).to(model.device)
    own = torch.from_numpy(values[modality]).to(model.device)
    mean = np.nanmean(truth, axis=0, keepdims=True) if len(truth) else truth
    return _Errors(
        np.abs(_decoded(model, modality, own, windows) - truth),
        np.abs(_decoded(model, modality, model.heads[modality](embedding), windows) - truth),
        np.abs(mean - truth),
        _missing(patches, windows, modality),
        site.land_cover[row, column],
    )


def _decoded(model: TwoStageModel, modality: str, bottlenecks: Tensor, windows: WindowList) -> Table:
    """The decoder's value at the centre of each window, (n, channels)."""
    gaps = torch.from_numpy(windows.gaps[modality]).to(model.device)
    context, parts = model.encoder(modality).context, []
    for i in range(0, len(windows), DECODED_AT_ONCE):
        part = slice(i, i + DECODED_AT_ONCE)
        decoded = model.decoders[modality](bottlenecks[part], gaps[part], context, CENTRE)
        parts.append(decoded[:, 0, :, EDGE, EDGE].float().cpu().numpy())
    return np.concatenate(parts)


def _missing(patches: Patches, windows: WindowList, modality: str) -> Table:
    """Share of each window's values that is missing, (n,)."""
    frames = torch.from_numpy(windows.frames[modality])
    shares = []
    for i in range(0, len(windows), DECODED_AT_ONCE):
        part = slice(i, i + DECODED_AT_ONCE)
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
    rows = [_row("all", whole, every, slice(None))]
    rows += [_row(band, whole, every, slice(i, i + 1)) for i, band in enumerate(bands)]
    for code in np.unique(whole.land_cover[whole.land_cover != NO_CLASS]):
        rows.append(_row(names.get(int(code), str(code)), whole, whole.land_cover == code, slice(None)))
    for low, high in CLOUDS:
        chosen = (whole.missing >= low) & (whole.missing < high)
        if chosen.any():
            rows.append(_row(f"{low:.0%} to {min(high, 1):.0%} missing", whole, chosen, slice(None)))
    return rows


def _row(of: str, errors: _Errors, rows: NDArray[np.bool_], bands: slice) -> dict[str, float | int | str]:
    def mean(values: Table) -> float:
        chosen = values[rows][:, bands]
        return float(np.nanmean(chosen)) if np.isfinite(chosen).any() else float("nan")

    return {
        "of": of,
        "n": int(rows.sum()),
        "stage1": mean(errors.stage1),
        "fusion": mean(errors.fusion),
        "constant": mean(errors.constant),
    }
