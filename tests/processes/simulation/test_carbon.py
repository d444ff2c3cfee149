"""Simulated production follows season, land cover and weather."""

from __future__ import annotations

import numpy as np
import pytest

from processes.simulation import SceneSpec, Simulation
from processes.simulation.bands import BUILT_UP, MAIZE, WATER
from processes.simulation.carbon import gross_primary_production


@pytest.fixture(scope="module")
def scene():
    simulation = Simulation(SceneSpec(seed=3, height=96, width=96))
    return simulation, *gross_primary_production(simulation)


def test_it_is_summer_s_and_never_water_s(scene):
    simulation, days, production = scene
    month = days.astype("datetime64[M]").astype(int) % 12
    cover = simulation.ground.land_cover
    assert production.shape == (365, 96, 96)
    assert np.isfinite(production).all()
    assert production.min() == 0
    assert (production[:, cover == WATER] == 0).all()
    assert production[np.isin(month, (5, 6))].mean() > 5 * production[np.isin(month, (0, 11))].mean()


def test_a_year_s_sum_is_like_those_measured(scene):
    simulation, _, production = scene
    year = production.sum(0)  # g C m-2; FLUXNET sites of temperate Europe: 800 to 2200
    cover = simulation.ground.land_cover
    assert 500 < np.median(year[(cover != WATER) & (cover != BUILT_UP)]) < 2500
    assert year[cover == BUILT_UP].mean() < 0.7 * year[cover != WATER].mean()


def test_maize_begins_late(scene):
    simulation, days, production = scene
    maize = production[:, simulation.ground.land_cover == MAIZE].mean(1)
    rest = production[:, simulation.ground.land_cover // 10 == 1].mean(1)
    april = (days >= np.datetime64("2022-04-10")) & (days < np.datetime64("2022-05-10"))
    july = (days >= np.datetime64("2022-07-10")) & (days < np.datetime64("2022-08-10"))
    assert maize[april].mean() < 0.5 * rest[april].mean()
    assert maize[july].mean() > rest[july].mean()
