"""Whole simulated scenes: repeatable, in range, and like what the satellites see."""

import time

import numpy as np
import pytest
from scipy import ndimage

from processes.simulation import S2_BANDS, Climate, LandscapeShares, SceneSpec, Simulation, simulate_scene
from processes.simulation.clouds import THIN, simulate_clouds
from processes.simulation.sun import sun_position

SMALL = {"height": 48, "width": 64, "start": np.datetime64("2022-05-01"), "stop": np.datetime64("2022-06-15")}
SIZE = 112


@pytest.fixture(scope="module")
def year():
    """A year with as much of every class as fits; half of the fields' pixels would be in hedges if it were smaller."""
    return simulate_scene(SceneSpec(seed=2, height=SIZE, width=SIZE, landscape=LandscapeShares(crops=(1, 1, 1, 1))))


@pytest.fixture(scope="module")
def weather():
    return Simulation(SceneSpec(seed=2, height=16, width=16)).weather


def inner(scene, *codes):
    """Pixels well inside of land of these classes."""
    mask = ndimage.binary_erosion(np.isin(scene.land_cover, codes), iterations=2)
    assert mask.sum() > 20
    return mask


def band(scene, name):
    return scene.s2[:, scene.spec.bands.index(name)]


def series(scene, values, mask):
    """Medians over the clear pixels of a class, (t,), NaN where there are few."""
    clear = (scene.clouds == 0) & mask
    return np.array(
        [np.median(v[c]) if c.sum() > 15 else np.nan for v, c in zip(values, clear, strict=True)], np.float64
    )


def month(scene, number):
    return (scene.s2_time.astype("datetime64[M]").astype(int) % 12 + 1) == number


def ndvi(scene):
    red, infrared = band(scene, "B04"), band(scene, "B08")
    return (infrared - red) / (infrared + red)


def decibel(scene, polarization, mask):
    """Mean power of a class per pass in dB, (t,)."""
    values = scene.s1[:, ["VV", "VH"].index(polarization)][:, mask]
    return 10 * np.log10(np.nanmean(values, axis=1))


def test_a_seed_gives_the_same_bytes_and_another_seed_another_scene():
    one, same, other = (simulate_scene(SceneSpec(seed=seed, **SMALL)) for seed in (7, 7, 8))
    for name in ("land_cover", "s2", "scl", "clouds", "s1", "s2_time", "s1_time", "cloud_cover"):
        assert getattr(one, name).tobytes() == getattr(same, name).tobytes(), name
        assert getattr(one, name).tobytes() != getattr(other, name).tobytes(), name


def test_a_part_of_the_year_is_that_part_of_the_whole_year():
    whole = Simulation(SceneSpec(seed=7, height=48, width=64))
    part = simulate_scene(SceneSpec(seed=7, **SMALL))
    passage = next(p for p in whole.optical_passes if p.time == part.s2_time[3])
    image = whole.optical(passage)
    np.testing.assert_array_equal(image.reflectance, part.s2[3])
    np.testing.assert_array_equal(image.scl, part.scl[3])
    radar = next(p for p in whole.radar_passes if p.time == part.s1_time[1])
    np.testing.assert_array_equal(whole.radar(radar), part.s1[1])


def test_shapes_types_and_chosen_bands():
    ten = ("B02", "B03", "B04", "B05", "B06", "B07", "B08", "B8A", "B11", "B12")
    scene, full = simulate_scene(SceneSpec(bands=ten, **SMALL)), simulate_scene(SceneSpec(**SMALL))
    count = len(scene.s2_time)
    assert scene.s2.shape == (count, 10, 48, 64)
    assert scene.s1.shape == (len(scene.s1_time), 2, 48, 64)
    assert scene.s2.dtype == scene.s1.dtype == np.float32
    assert scene.scl.shape == scene.clouds.shape == (count, 48, 64)
    assert scene.scl.dtype == scene.land_cover.dtype == np.uint8
    np.testing.assert_array_equal(scene.s2, full.s2[:, [S2_BANDS.index(name) for name in ten]])
    assert len(scene.s2_passes) == count


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"height": 4}, "at least 8"),
        ({"start": np.datetime64("2023-01-01")}, "stop is the day after"),
        ({"bands": ("B02", "B10")}, r"\['B10'\].*choose from B01"),
        ({"latitude": 80.0}, "latitude is 80"),
    ],
)
def test_a_scene_that_cannot_be_is_refused(arguments, words):
    with pytest.raises(ValueError, match=words):
        SceneSpec(**arguments)


def test_climates_and_landscapes_that_cannot_be_are_refused():
    with pytest.raises(ValueError, match=r"cloudiness is 1\.5"):
        Climate(cloudiness=1.5)
    with pytest.raises(ValueError, match="four shares"):
        LandscapeShares(crops=(0, 0, 0, 0))
    with pytest.raises(ValueError, match="field_hectares"):
        LandscapeShares(field_hectares=(3.0, 4.0))


def test_half_a_year_of_a_training_scene_is_quick():
    start = time.process_time()
    simulate_scene(SceneSpec(height=64, width=64, stop=np.datetime64("2022-07-01")))
    assert time.process_time() - start < 6


def test_values_are_in_range_and_missing_only_outside_of_the_swath(year):
    unseen = year.clouds == 255
    np.testing.assert_array_equal(np.isnan(year.s2).all(axis=1), unseen)
    np.testing.assert_array_equal(np.isnan(year.s2).any(axis=1), unseen)
    np.testing.assert_array_equal(year.scl == 0, unseen)
    assert 0.02 < unseen.mean() < 0.3
    assert np.nanmin(year.s2) > -0.09
    assert 1.0 < np.nanmax(year.s2) <= 1.2
    assert np.nanmin(year.s1) > 0
    assert set(np.unique(year.scl)) <= {0, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11}


def test_coarse_bands_repeat_the_values_of_their_own_grid(year):
    # The scene's west and north edges: 679000 lies 40 m after a multiple of 60, the north 20 m before one.
    for name, gsd in (("B05", 20), ("B11", 20), ("B01", 60), ("B09", 60)):
        values = band(year, name)[month(year, 7)][0]
        columns = year.spec.x // gsd
        rows = year.spec.y // gsd
        inside = np.isfinite(values)
        same = (values[:, 1:] == values[:, :-1])[inside[:, 1:] & inside[:, :-1]]
        in_block = np.broadcast_to(columns[1:] == columns[:-1], values[:, 1:].shape)
        np.testing.assert_array_equal(same, in_block[inside[:, 1:] & inside[:, :-1]])
        same = (values[1:] == values[:-1])[inside[1:] & inside[:-1]]
        in_block = np.broadcast_to((rows[1:] == rows[:-1])[:, None], values[1:].shape)
        np.testing.assert_array_equal(same, in_block[inside[1:] & inside[:-1]])


def test_crops_are_green_in_their_season_and_bare_after_harvest(year):
    values = ndvi(year)
    cereal, maize, rape = (series(year, values, inner(year, code)) for code in (41, 42, 43))
    may, august, september, october = (month(year, number) for number in (5, 8, 9, 10))
    assert np.nanmedian(cereal[may]) > 0.65
    assert np.nanmedian(cereal[august]) < 0.4
    assert np.nanmedian(maize[may]) < 0.35
    assert np.nanmedian(maize[august]) > 0.65
    assert np.nanmedian(maize[october]) < 0.4
    assert np.nanmedian(rape[september]) < np.nanmedian(rape[month(year, 6)])
    assert np.nanmedian(rape[may]) > 0.5


def test_rapeseed_is_yellow_in_early_may(year):
    # Yellow: much more green and red than blue, against a meadow of the same day.
    yellow = np.minimum(band(year, "B03"), band(year, "B04")) - band(year, "B02")
    excess = series(year, yellow, inner(year, 43)) - series(year, yellow, inner(year, 30))
    assert np.nanmax(excess[month(year, 5)]) > 0.035
    assert np.nanmax(excess[month(year, 3) | month(year, 11)]) < 0.015


def test_forests_water_and_village_behave(year, weather):
    values = ndvi(year)
    snow = np.array([weather.snow[weather.index(moment)] for moment in year.s2_time]) > 0.05
    needles, leaves = (series(year, values, inner(year, code))[~snow] for code in (12, 11))
    # Haze and thin cloud that nobody notices leave some scatter in a single image.
    assert np.ptp([np.nanmedian(needles[month(year, number)[~snow]]) for number in range(1, 13)]) < 0.1
    assert np.nanmedian(needles) > 0.6
    summer, winter = month(year, 7)[~snow], month(year, 1)[~snow] | month(year, 12)[~snow]
    assert np.nanmedian(leaves[summer]) > np.nanmedian(leaves[winter]) + 0.25
    water = series(year, values, inner(year, 80))
    assert np.nanmax(water) < 0
    built = series(year, values, inner(year, 50))
    assert 0.15 < np.nanmedian(built) < 0.5
    assert np.nanmedian(series(year, band(year, "B08"), inner(year, 80))) < 0.05


def test_snow_is_white_in_the_visible_and_dark_in_the_shortwave(year, weather):
    deep = np.array([weather.snow[weather.index(moment)] for moment in year.s2_time]) > 8
    if not deep.any():
        pytest.skip("no Sentinel-2 pass over deep snow with this seed")
    fields = inner(year, 30, 41, 42, 43)
    green, shortwave = series(year, band(year, "B03"), fields)[deep], series(year, band(year, "B11"), fields)[deep]
    assert np.nanmax(green) > 0.5
    assert np.nanmax((green - shortwave) / (green + shortwave)) > 0.5


def test_fields_of_one_crop_differ_and_are_uneven_inside(year):
    values = np.where(year.clouds == 0, ndvi(year), np.nan)
    june = values[month(year, 6)]
    clearest = june[np.isfinite(june).mean(axis=(1, 2)).argmax()]
    pieces, count = ndimage.label(inner(year, 41))
    means = [np.nanmean(clearest[pieces == n]) for n in range(1, count + 1) if (pieces == n).sum() > 30]
    spreads = [np.nanstd(clearest[pieces == n]) for n in range(1, count + 1) if (pieces == n).sum() > 30]
    assert np.ptp(means) > 0.05
    assert 0.003 < np.nanmedian(spreads) < 0.1


def test_scl_finds_thick_cloud_and_shadow_and_misses_some_thin_cloud(year):
    seen = year.clouds != 255
    called = np.isin(year.scl, (8, 9, 10))
    clear, shadow, thin, thick = ((year.clouds == code) & seen for code in range(4))
    assert called[thick].mean() > 0.97
    assert 0.35 < called[thin].mean() < 0.9
    assert called[clear].mean() < 0.04
    assert 0.6 < (year.scl[shadow] == 3).mean() < 0.97
    assert shadow[year.scl == 3].mean() > 0.75
    assert (year.scl[clear & (year.land_cover == 80)] == 6).mean() > 0.5
    assert (year.scl[:, np.isin(year.land_cover, (41, 42, 43))] == 6).mean() < 0.003


def test_scl_is_decided_on_the_20_m_grid(year):
    blocks = year.scl.reshape(-1, SIZE // 2, 2, SIZE // 2, 2)
    assert (blocks == blocks[:, :, :1, :, :1]).all()


def test_clouds_brighten_and_shadows_darken(year):
    infrared = band(year, "B08")
    land = inner(year, 11, 12, 30, 41, 42, 43)
    summer = (month(year, 6) | month(year, 7) | month(year, 8))[:, None, None] & land
    levels = [np.median(infrared[summer & (year.clouds == code)]) for code in (0, 1, 3)]
    assert levels[1] < 0.6 * levels[0]
    assert levels[2] > 1.5 * levels[0]


def test_cloud_cover_is_the_true_share_of_the_seen_pixels(year):
    for index in range(0, len(year.s2_time), 11):
        truth = year.clouds[index]
        expected = 100 * np.isin(truth, (2, 3)).sum() / (truth != 255).sum()
        assert year.cloud_cover[index] == pytest.approx(expected)


@pytest.mark.parametrize("cloudiness", [0.2, 0.5, 0.8])
def test_about_the_promised_share_of_dates_is_mostly_cloudy(cloudiness):
    covers = []
    for seed in range(3):
        spec = SceneSpec(seed=seed, height=128, width=128, climate=Climate(cloudiness=cloudiness))
        simulation = Simulation(spec)
        for passage in simulation.optical_passes[::2]:
            sun = sun_position(passage.time, spec.latitude, spec.longitude)
            clouds = simulate_clouds(spec, simulation.weather, passage, sun)
            covers.append((clouds.truth() >= THIN).mean())
    covers = np.array(covers)
    assert (covers > 0.5).mean() == pytest.approx(cloudiness, abs=0.13)
    assert (covers < 0.05).mean() > 0.3 * (1 - cloudiness)
    # Neither always all nor always nothing.
    assert ((covers > 0.1) & (covers < 0.9)).mean() > 0.1


def test_the_default_year_is_cloudy_on_about_half_of_its_dates():
    spec = SceneSpec()
    simulation = Simulation(spec)
    covers = [
        (simulate_clouds(spec, simulation.weather, p, sun_position(p.time, 46.5, 11.3)).truth() >= THIN).mean()
        for p in simulation.optical_passes
    ]
    assert 0.42 < np.mean(np.array(covers) > 0.5) < 0.58


def test_shadows_lie_away_from_the_sun():
    spec = SceneSpec(seed=4, height=256, width=256)
    simulation = Simulation(spec)
    found = 0
    for passage in simulation.optical_passes:
        sun = sun_position(passage.time, spec.latitude, spec.longitude)
        clouds = simulate_clouds(spec, simulation.weather, passage, sun)
        thick = (clouds.opacity_of_water() > 0.2).astype(float)
        if not 0.05 < thick.mean() < 0.4:
            continue
        found += 1
        # The cloud, moved by what the geometry says, covers the shadow.
        reach = clouds.height * np.tan(sun.zenith) / 10
        moved = ndimage.shift(thick, (reach * np.cos(sun.azimuth), -reach * np.sin(sun.azimuth)), order=0, cval=np.nan)
        inside = np.isfinite(moved)
        if inside.mean() > 0.3:
            assert np.corrcoef(moved[inside], clouds.sunlit[inside])[0, 1] < -0.6
    assert found > 5


def test_backscatter_is_ordered_by_class(year):
    level = {code: [np.median(decibel(year, p, inner(year, code))) for p in ("VV", "VH")] for code in (11, 12, 50, 80)}
    assert -7 < level[50][0] < -2
    for forest in (11, 12):
        assert -10.5 < level[forest][0] < -8
        assert -16.5 < level[forest][1] < -14
    assert -24 < level[80][0] < -17.5
    assert -31 < level[80][1] < -25
    fields = [np.median(decibel(year, "VH", inner(year, code))) for code in (30, 41, 42, 43)]
    assert all(level[80][1] < value < level[11][1] + 0.5 for value in fields)
    assert np.nanpercentile(year.s1[:, 0][:, inner(year, 50)], 99) > 0.6


def test_vh_follows_the_maize(year):
    values = decibel(year, "VH", inner(year, 42))
    months = year.s1_time.astype("datetime64[M]").astype(int) % 12 + 1
    assert np.median(values[months == 8]) > np.median(values[(months == 5) | (months == 11)]) + 2.5


def test_bare_soil_is_brighter_when_it_is_wet(year, weather):
    maize = inner(year, 42)
    bare = (year.s1_time > np.datetime64("2022-10-05")) | (year.s1_time < np.datetime64("2022-05-20"))
    warm = np.array([weather.temperature[weather.index(moment)] > -2 for moment in year.s1_time])
    orbit = np.array([passage.track.relative_orbit for passage in year.s1_passes])
    chosen = bare & warm & (orbit == 117)
    moisture = [weather.moisture[weather.index(moment)] for moment in year.s1_time[chosen]]
    assert np.corrcoef(decibel(year, "VV", maize)[chosen], moisture)[0, 1] > 0.8


def test_orbits_see_the_fields_under_different_angles(year):
    orbit = np.array([passage.track.relative_orbit for passage in year.s1_passes])
    grass = decibel(year, "VV", inner(year, 30))
    assert np.median(grass[orbit == 168]) > np.median(grass[orbit == 117]) + 0.2


def test_speckle_has_four_to_six_looks_and_a_little_correlation(year):
    forest = inner(year, 12)
    whole = year.s1[[p.track.relative_orbit == 117 for p in year.s1_passes], 0]
    # Over time at a pixel, so that the forest's own texture does not count.
    relative = whole / np.mean(whole[:, forest], axis=1)[:, None, None]
    looks = np.median((relative.mean(axis=0) ** 2 / relative.var(axis=0))[forest])
    assert 3.5 < looks < 6.5
    speckle = relative / relative.mean(axis=0)
    pairs = forest[:, 1:] & forest[:, :-1]
    correlation = np.corrcoef(speckle[:, :, 1:][:, pairs].ravel(), speckle[:, :, :-1][:, pairs].ravel())[0, 1]
    assert 0.2 < correlation < 0.6
