"""Simulated scenes as sites: Sentinel-1 and Sentinel-2, land cover, fields and daily production."""

from __future__ import annotations

import numpy as np

from models.card import ModelCard
from models.evaluation import Site
from models.preprocessing import mask_clouds, preprocess
from processes.simulation import LAND_COVER_CLASSES, Climate, LandscapeShares, SceneSpec, Simulation, simulate_scene
from processes.simulation.bands import S1_BANDS, S2_BANDS
from processes.simulation.carbon import gross_primary_production

SENSORS = {"s2": S2_BANDS, "s1": S1_BANDS}


def simulated_site(card: ModelCard, seed: int, size: int = 48) -> Site:
    """Simulate a year of a landscape and climate drawn by `seed`, preprocessed as the service does.

    Parameters
    ----------
    size : int
        Pixels on a side.

    Raises
    ------
    ValueError
        The model takes a sensor that is not simulated.
    """
    unknown = [m.id for m in card.modalities if not set(m.bands) <= set(SENSORS.get(m.id, ()))]
    if unknown:
        raise ValueError(f"the simulator has no sensor {', '.join(unknown)} with the bands of the model {card.name!r}")
    spec = random_spec(seed, size, S2_BANDS)
    scene, simulation = simulate_scene(spec), Simulation(spec)
    values = {
        "s2": mask_clouds(np.moveaxis(scene.s2, 1, 0), scene.scl),
        "s1": np.moveaxis(scene.s1, 1, 0),
    }
    times = {"s2": scene.s2_time, "s1": scene.s1_time}
    cubes = {
        m.id: preprocess(values[m.id][[SENSORS[m.id].index(b) for b in m.bands]], m.preprocessing, "local")
        for m in card.modalities
    }
    days, production = gross_primary_production(simulation)
    return Site(
        name=f"simulated {seed}",
        cubes=cubes,
        times={m: times[m] for m in cubes},
        land_cover=scene.land_cover.astype(np.int64),
        classes={c.value: c.name for c in LAND_COVER_CLASSES},
        fields=simulation.ground.unit.astype(np.int64),
        days=days,
        productivity=production,
    )


def random_spec(seed: int, size: int, bands: tuple[str, ...]) -> SceneSpec:
    """A landscape and climate of Europe drawn by `seed`, for a year."""
    random = np.random.default_rng(seed)
    return SceneSpec(
        seed=seed,
        height=size,
        width=size,
        bands=bands,
        latitude=float(random.uniform(38, 56)),
        climate=Climate(mean_temperature=float(random.uniform(6, 15)), cloudiness=float(random.uniform(0.1, 0.4))),
        landscape=LandscapeShares(forest=float(random.uniform(0.1, 0.4)), field_hectares=(0.6, 3.0)),
    )
