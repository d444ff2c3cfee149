"""Simulated scenes as sites: Sentinel-1 and Sentinel-2, land cover, fields and daily production."""

from __future__ import annotations

import numpy as np

from models.card import ModelCard
from models.evaluation import Site
from processes.sensors import not_simulated, sensors_of
from processes.simulation import LAND_COVER_CLASSES, S2_BANDS, Simulation, drawn_spec, simulate_scene
from processes.simulation.carbon import gross_primary_production


def simulated_site(card: ModelCard, seed: int, size: int = 48) -> Site:
    """Simulate a year of a landscape and climate drawn by `seed`, preprocessed as the service does.

    Parameters
    ----------
    size : int
        Pixels on a side.

    Raises
    ------
    ValueError
        The model takes a band that is not simulated.
    """
    unknown = not_simulated(card.modalities, S2_BANDS)
    if unknown:
        raise ValueError(f"the simulator has no band {', '.join(unknown)}, which the model {card.name!r} takes")
    spec = drawn_spec(seed, size)
    scene, simulation = simulate_scene(spec), Simulation(spec)
    cubes, times = sensors_of(scene, card.modalities)
    days, production = gross_primary_production(simulation)
    return Site(
        name=f"simulated {seed}",
        cubes=cubes,
        times=times,
        land_cover=scene.land_cover.astype(np.int64),
        classes={c.value: c.name for c in LAND_COVER_CLASSES},
        fields=simulation.ground.unit.astype(np.int64),
        days=days,
        productivity=production,
    )
