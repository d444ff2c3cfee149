"""The ground that does not change within a scene: who grows what where, and how even it is."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from processes.simulation.bands import (
    BUILT_UP,
    CEREAL,
    CONIFEROUS,
    DECIDUOUS,
    GRASSLAND,
    MAIZE,
    RAPESEED,
    WATER,
)
from processes.simulation.features import Features, draw_features
from processes.simulation.fields import Field, smooth_noise, stream
from processes.simulation.parcels import NO_LINE, Parcels, cut_parcels
from processes.simulation.spec import SceneSpec

PIXELS_PER_HECTARE = 100.0
CROPS = (CEREAL, MAIZE, RAPESEED, GRASSLAND)


@dataclass(frozen=True)
class Units:
    """What is managed as one piece: fields, forest stands, waters, gardens; each array is (n,), `luck` (n, 8).

    `shift` delays the season by days, `vigour` scales growth, `soil` the soil's brightness, `rough` its backscatter
    in dB; `luck` are standard normal numbers for whatever differs between units of a class (harvest date, cuts, ...).
    """

    code: NDArray[np.uint8]
    shift: Field
    vigour: Field
    soil: Field
    rough: Field
    luck: Field


@dataclass(frozen=True)
class Landscape:
    """Maps (y, x) of a scene's ground; shares are 0 to 1.

    `unit` numbers the rows of `units`; `sealed` is the share under roofs and roads, made of roof, concrete and asphalt
    by `material` (3, y, x); `walls` is the share under houses; `margin` and `hedge` are shares of grassy field margins
    and hedges. Within a unit `timing` delays (days) and `gaps` thins (share) what grows, `brightness` scales
    reflectance, and `wetness` is a deviation of soil moisture.
    """

    land_cover: NDArray[np.uint8]
    unit: NDArray[np.int32]
    units: Units
    sealed: Field
    material: Field
    walls: Field
    margin: Field
    hedge: Field
    timing: Field
    gaps: Field
    brightness: Field
    wetness: Field


def build_landscape(spec: SceneSpec) -> Landscape:
    """Return the ground of a scene."""
    rng = stream(spec.seed, "landscape")
    features = draw_features(spec, rng)
    angle = float(rng.uniform(0, np.pi))
    everywhere = np.ones(spec.shape, np.bool_)
    low, high = (PIXELS_PER_HECTARE * hectares for hectares in spec.landscape.field_hectares)
    fields = cut_parcels(rng, everywhere, low, high, angle)
    stands = cut_parcels(rng, everywhere, 200, 1500, angle + 0.6)
    forest, banks = _forest(spec, rng, fields, features)
    unit, code = _units_map(spec, rng, fields, stands, forest, banks, features)
    units = _draw_units(rng, code)
    margin, hedge = _borders(rng, spec.shape, fields)
    open_land = ~(features.water | features.village | features.road_core | forest | banks)
    tracks = open_land & (fields.level <= 3)
    sealed = np.maximum(features.sealed, np.where(tracks, np.float32(0.45), np.float32(0)))
    return Landscape(
        land_cover=code[unit],
        unit=unit,
        units=units,
        sealed=sealed,
        material=_materials(rng, spec.shape, features),
        walls=np.where(features.village & ~features.street, features.sealed, 0).astype(np.float32),
        margin=np.where(open_land, margin, 0).astype(np.float32) * (1 - sealed),
        hedge=np.where(open_land & ~tracks, hedge, 0).astype(np.float32) * (1 - sealed),
        timing=(2.2 * smooth_noise(rng, spec.shape, 9.0) + 1.2 * smooth_noise(rng, spec.shape, 2.0)).astype(np.float32),
        gaps=_gaps(rng, spec.shape),
        brightness=_brightness(rng, code[unit]),
        wetness=(0.07 * smooth_noise(rng, spec.shape, 12.0)).astype(np.float32),
    )


def _forest(
    spec: SceneSpec, rng: np.random.Generator, fields: Parcels, features: Features
) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Return where forests grow and where strips of trees line the river.

    Forests are patches of some 400 m that mostly end at a parcel's border.
    """
    free = ~(features.water | features.village | features.road_core)
    banks = free & (features.bank_distance + 2.0 * smooth_noise(rng, spec.shape, 5.0) < 2.5)
    noise = smooth_noise(rng, spec.shape, 20.0) + 0.25 * smooth_noise(rng, spec.shape, 3.0)
    index = np.arange(fields.total)
    means = ndimage.mean(noise, fields.label, index).astype(np.float32)
    noise = 0.35 * noise + 0.65 * means[fields.label]
    free &= ~banks
    if not free.any() or spec.landscape.forest == 0:
        return np.zeros(spec.shape, np.bool_), banks
    return np.asarray(free & (noise > np.quantile(noise[free], 1 - spec.landscape.forest)), np.bool_), banks


def _units_map(
    spec: SceneSpec,
    rng: np.random.Generator,
    fields: Parcels,
    stands: Parcels,
    forest: NDArray[np.bool_],
    banks: NDArray[np.bool_],
    features: Features,
) -> tuple[NDArray[np.int32], NDArray[np.uint8]]:
    """Return the unit of each pixel and the class of each unit: fields, stands, river, lake, gardens, banks."""
    shares = np.array(spec.landscape.crops) / sum(spec.landscape.crops)
    crops = rng.choice(np.array(CROPS, np.uint8), fields.total, p=shares)
    trees = _trees(spec, rng, stands, forest)
    # A strip of trees along the water is deciduous: willows and alders.
    code = np.concatenate([crops, trees, np.array([WATER, WATER, BUILT_UP, DECIDUOUS], np.uint8)])
    unit = np.where(forest, fields.total + stands.label, fields.label)
    first = fields.total + stands.total
    unit[features.river] = first
    unit[features.lake] = first + 1
    unit[features.village | features.road_core] = first + 2
    unit[banks] = first + 3
    return unit.astype(np.int32), code


def _trees(spec: SceneSpec, rng: np.random.Generator, stands: Parcels, forest: NDArray[np.bool_]) -> NDArray[np.uint8]:
    """Return each stand's kind of trees: neighbours tend to have the same, conifers have their share of the area."""
    conifers = smooth_noise(rng, spec.shape, 14.0)
    mean = ndimage.mean(conifers, stands.label, np.arange(stands.total)) + rng.normal(0, 0.3, stands.total)
    area = np.bincount(stands.label[forest], minlength=stands.total)
    order = np.argsort(-mean)
    # A stand is coniferous when the middle of its area still lies within the share.
    middle = np.cumsum(area[order]) - area[order] / 2
    trees = np.empty(stands.total, np.uint8)
    trees[order] = np.where(middle < spec.landscape.conifers * area.sum(), CONIFEROUS, DECIDUOUS)
    return trees


def _draw_units(rng: np.random.Generator, code: NDArray[np.uint8]) -> Units:
    count = code.size
    is_tree = np.isin(code, (DECIDUOUS, CONIFEROUS))
    normal = rng.standard_normal((5, count), dtype=np.float32)
    return Units(
        code=code,
        shift=np.where(is_tree, 2.5, 5.0).astype(np.float32) * normal[0],
        vigour=np.clip(np.where(is_tree, 0.97, 0.94) + 0.06 * normal[1], 0.72, 1.05).astype(np.float32),
        soil=np.exp(0.16 * normal[2]).astype(np.float32),
        rough=(1.0 * normal[3]).astype(np.float32),
        luck=np.clip(rng.standard_normal((count, 8), dtype=np.float32), -2.2, 2.2),
    )


def _borders(rng: np.random.Generator, shape: tuple[int, int], fields: Parcels) -> tuple[Field, Field]:
    """Return the shares of grassy margins and of hedges: along cuts between fields, hedges here and there."""
    cut = fields.level < NO_LINE
    hedged = smooth_noise(rng, shape, 11.0) > 0.75
    margin = np.where(cut & ~hedged, np.float32(0.38), np.float32(0))
    hedge = np.where(cut & hedged, np.float32(0.6), np.float32(0))
    return margin, hedge


def _materials(rng: np.random.Generator, shape: tuple[int, int], features: Features) -> Field:
    """Return what sealed ground is made of, (roof, concrete, asphalt): houses differ from pixel to pixel."""
    roof = np.exp(1.1 * smooth_noise(rng, shape, 0.8)) * np.where(features.street, 0.15, 1.0)
    concrete = np.exp(1.2 * smooth_noise(rng, shape, 0.8)) * np.where(features.hall, 6.0, 0.35)
    asphalt = np.exp(0.8 * smooth_noise(rng, shape, 1.0)) * np.where(features.street, 3.0, 0.5)
    material = np.stack([roof, concrete, asphalt])
    return np.asarray(material / material.sum(axis=0), np.float32)


def _gaps(rng: np.random.Generator, shape: tuple[int, int]) -> Field:
    """Return the share of vegetation that is missing: a few percent, more in dry or trampled spots."""
    noise = 0.75 * smooth_noise(rng, shape, 5.0) + 0.45 * smooth_noise(rng, shape, 1.0)
    return np.clip(0.03 + 0.05 * noise, 0.0, 0.4).astype(np.float32)


def _brightness(rng: np.random.Generator, land_cover: NDArray[np.uint8]) -> Field:
    """Return a factor round 1: crowns and their shadows make forests coarser than fields, waters are even."""
    spread = np.full(256, 0.03, np.float32)
    spread[[DECIDUOUS, CONIFEROUS]] = 0.09, 0.13
    spread[[BUILT_UP, WATER]] = 0.08, 0.02
    fine = smooth_noise(rng, land_cover.shape, 0.8)
    coarse = smooth_noise(rng, land_cover.shape, 4.0)
    return np.exp(spread[land_cover] * (0.85 * fine + 0.5 * coarse)).astype(np.float32)
