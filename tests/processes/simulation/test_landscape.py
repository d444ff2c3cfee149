"""The simulated ground, its weather and its growth."""

import numpy as np
import pytest
from scipy import ndimage

from processes.simulation import LAND_COVER_CLASSES, Climate, LandscapeShares, SceneSpec
from processes.simulation.fields import fractal_noise, smooth_noise, stream
from processes.simulation.landscape import build_landscape
from processes.simulation.parcels import NO_LINE, cut_parcels
from processes.simulation.phenology import growth
from processes.simulation.sun import brdf_factors, sun_position
from processes.simulation.weather import simulate_weather

CROPS = (41, 42, 43)


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_every_class_is_there_and_takes_its_share(seed):
    ground = build_landscape(SceneSpec(seed=seed))
    share = {item.value: (ground.land_cover == item.value).mean() for item in LAND_COVER_CLASSES}
    assert share[0] == 0
    assert all(value > 0.005 for code, value in share.items() if code)
    assert 0.18 < share[11] + share[12] < 0.32
    # 45 % of the forest; the trees at the river are deciduous.
    assert 0.3 < share[12] / (share[11] + share[12]) < 0.52
    assert sum(share[code] for code in CROPS) > 0.35
    assert 0.02 < share[50] < 0.12
    assert 0.01 < share[80] < 0.08
    np.testing.assert_array_equal(ground.units.code[ground.unit], ground.land_cover)


def test_shares_are_those_asked_for():
    shares = LandscapeShares(forest=0.5, conifers=0.0, village=False, river=False, lake=False, road=False)
    land_cover = build_landscape(SceneSpec(seed=3, height=128, width=128, landscape=shares)).land_cover
    assert (land_cover == 11).mean() == pytest.approx(0.5, abs=0.02)
    assert not np.isin(land_cover, (12, 50, 80)).any()
    only_maize = LandscapeShares(crops=(0, 1, 0, 0), forest=0)
    assert not np.isin(build_landscape(SceneSpec(height=64, width=64, landscape=only_maize)).land_cover, (41, 43)).any()


def test_fields_have_one_to_six_hectares_and_are_in_one_piece():
    mask = np.ones((200, 200), bool)
    parcels = cut_parcels(np.random.default_rng(0), mask, 100, 600, 0.4)
    sizes = np.bincount(parcels.label.ravel())
    assert sizes.size == parcels.total
    assert sizes.min() >= 60
    assert sizes.max() <= 600
    assert 150 < np.median(sizes) < 450
    pieces = [ndimage.label(parcels.label == number)[1] for number in range(0, parcels.total, 7)]
    assert set(pieces) == {1}
    # Cuts lie where parcels meet.
    borders = (parcels.label != np.roll(parcels.label, 1, 1)) | (parcels.label != np.roll(parcels.label, 1, 0))
    near = ndimage.binary_dilation(borders, iterations=1)
    assert near[parcels.level < NO_LINE].mean() > 0.98


def test_parcels_keep_to_their_mask():
    mask = np.hypot(*(np.mgrid[:60, :60] - 30)) < 25
    parcels = cut_parcels(np.random.default_rng(1), mask, 30, 100, 0.0)
    np.testing.assert_array_equal(parcels.label >= 0, mask)
    nothing = cut_parcels(np.random.default_rng(1), np.zeros((5, 5), bool), 30, 100, 0.0)
    assert nothing.total == 0


def units_in_spring(mean_temperature, latitude=46.5):
    spec = SceneSpec(height=96, width=96, latitude=latitude, climate=Climate(mean_temperature=mean_temperature))
    units = build_landscape(spec).units
    return units.code, growth(units, spec, np.datetime64("2022-04-18T10:20", "ns"))


def test_spring_is_earlier_where_it_is_warmer_and_six_months_off_in_the_south():
    code, cold = units_in_spring(7.0)
    _, warm = units_in_spring(13.0)
    leaves = code == 11
    assert warm.green[leaves].mean() > cold.green[leaves].mean() + 0.3
    _, south = units_in_spring(9.5, latitude=-30.0)
    _, north = units_in_spring(9.5)
    rape = code == 43
    assert north.biomass[rape].mean() > 2 * south.biomass[rape].mean()


def test_growth_is_a_share_of_the_ground_all_year_and_closes_at_new_year():
    spec = SceneSpec(height=128, width=128)
    units = build_landscape(spec).units
    for day in np.arange("2022-01-01", "2023-01-02", 9, dtype="datetime64[D]"):
        state = growth(units, spec, day.astype("datetime64[ns]"))
        total = state.green + state.colour + state.dry
        assert min(part.min() for part in state) >= 0
        assert total.max() <= 1 + 1e-5
    before = growth(units, spec, np.datetime64("2022-12-31T23:00", "ns"))
    after = growth(units, spec, np.datetime64("2023-01-01T01:00", "ns"))
    for one, other in zip(before, after, strict=True):
        np.testing.assert_allclose(one, other, atol=0.03)


def test_weather_is_wet_when_unsettled_warm_in_summer_and_snows_only_in_the_cold():
    spec = SceneSpec(seed=5)
    weather = simulate_weather(spec)
    july, january = (weather.index(np.datetime64(day)) for day in ("2022-07-15", "2022-01-15"))
    assert weather.temperature[july - 15 : july + 15].mean() > 17
    assert weather.temperature[january - 15 : january + 15].mean() < 4
    assert np.corrcoef(weather.unsettled, weather.rain)[0, 1] > 0.4
    assert 350 < weather.rain[120:].sum() < 1300
    assert weather.moisture.min() >= 0
    assert weather.moisture.max() <= 1
    wet = weather.rain[:-1] > 8
    assert weather.moisture[:-1][wet].mean() > 2 * weather.moisture[:-1][weather.rain[:-1] == 0].mean()
    summer = slice(weather.index(np.datetime64("2022-05-15")), weather.index(np.datetime64("2022-10-01")))
    assert weather.snow[summer].max() == 0
    assert weather.snow.max() > 1


def test_a_dry_climate_has_no_rain():
    weather = simulate_weather(SceneSpec(climate=Climate(rain_days=0.0)))
    assert weather.rain.sum() == 0
    assert weather.moisture[-1] < 0.05


def test_the_sun_stands_where_almanacs_say():
    # Bolzano at 10:20 UTC: solar noon is near 11:13 UTC; elevation at noon is 90 - 46.5 +- 23.4 degrees.
    summer = sun_position(np.datetime64("2022-06-21T11:17", "ns"), 46.5, 11.3)
    assert np.degrees(summer.zenith) == pytest.approx(23.1, abs=0.4)
    winter = sun_position(np.datetime64("2022-12-21T11:13", "ns"), 46.5, 11.3)
    assert np.degrees(winter.zenith) == pytest.approx(69.9, abs=0.4)
    assert np.degrees(winter.azimuth) == pytest.approx(180, abs=1.5)
    morning = sun_position(np.datetime64("2022-06-21T10:20", "ns"), 46.5, 11.3)
    assert 140 < np.degrees(morning.azimuth) < 160


def test_brdf_is_mild_and_brighter_with_the_sun_behind_the_sensor():
    sun = sun_position(np.datetime64("2022-06-21T10:20", "ns"), 46.5, 11.3)
    behind = brdf_factors(sun, np.radians(10), sun.azimuth)
    against = brdf_factors(sun, np.radians(10), sun.azimuth + np.pi)
    assert all(behind[band] > against[band] for band in behind)
    assert all(0.8 < value < 1.25 for value in [*behind.values(), *against.values()])


@pytest.mark.parametrize("sigma", [0.8, 2.0, 12.0])
def test_noise_has_the_promised_spread_and_scale(sigma):
    noise = smooth_noise(np.random.default_rng(0), (300, 300), sigma)
    assert noise.std() == pytest.approx(1, abs=0.2)
    lag = max(1, round(2 * sigma))
    # Two Gaussians of that sigma, lag apart, overlap by exp(-lag^2 / 4 sigma^2).
    expected = np.exp(-(lag**2) / (4 * sigma**2))
    assert np.corrcoef(noise[:, :-lag].ravel(), noise[:, lag:].ravel())[0, 1] == pytest.approx(expected, abs=0.15)


def test_fractal_noise_is_periodic_and_standardised():
    noise = fractal_noise(np.random.default_rng(0), 192, 8 / 3, 40.0)
    assert noise.mean() == pytest.approx(0, abs=1e-3)
    assert noise.std() == pytest.approx(1, abs=1e-3)
    across = np.abs(noise[:, 0] - noise[:, -1]).mean()
    assert across == pytest.approx(np.abs(np.diff(noise, axis=1)).mean(), rel=0.3)


def test_streams_differ_by_name_key_and_seed_and_repeat_otherwise():
    draws = [
        stream(*arguments).random()
        for arguments in [(0, "a"), (0, "b"), (1, "a"), (0, "a", 1), (0, "a", -1), (0, "a", 1, 0), (0, "a")]
    ]
    assert len(set(draws)) == len(draws) - 1
    assert draws[0] == draws[-1]
