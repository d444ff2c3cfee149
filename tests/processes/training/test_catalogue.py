"""Training blocks straight from stored collections: the service's own values, cut without shared pixels or dates."""

from __future__ import annotations

import numpy as np
import pytest

from models.card import Modality, published_modalities
from models.preprocessing import mask_clouds, preprocess
from models.training.blocks import JoinedBlocks
from models.training.errors import TrainingError
from models.training.sampler import BlockSampler, Sampling, Sensors
from processes.simulation import SceneSpec, write_archive
from processes.sources import LoadRequest
from processes.training import Holdout, open_site, simulated_blocks, site_blocks

SENSORS = published_modalities()
DAYS = (np.datetime64("2022-01-01"), np.datetime64("2022-07-01"))
SUMMER = (np.datetime64("2022-05-01", "ns"), np.datetime64("2022-07-01", "ns"))


@pytest.fixture(scope="module")
def archive(tmp_path_factory):
    """Half a year of a simulated scene of 40 x 36 pixels, as Zarr."""
    folder = tmp_path_factory.mktemp("archive")
    write_archive(folder, SceneSpec(seed=3, height=40, width=36, start=DAYS[0], stop=DAYS[1]))
    return folder


def blocks(archive, **options):
    sources = open_site(archive, SENSORS)
    return sources, *site_blocks(sources, SENSORS, "s2", Holdout(**{"share": 0.25, "side": 18, **options}))


def test_blocks_are_the_stored_values_preprocessed(archive):
    sources, training, validation = blocks(archive)
    assert (len(training), len(validation)) == (3, 1)
    cube = sources["s2"].load(LoadRequest(bands=SENSORS[1].bands)).transpose("bands", "t", "y", "x").values
    classes = sources["s2"].load(LoadRequest(bands=("SCL",))).isel(bands=0).transpose("t", "y", "x").values
    whole = preprocess(mask_clouds(cube, classes), SENSORS[1].preprocessing, "local")
    block = training.load(0)
    rows, columns = training._squares[0]
    expected = whole[:, :, slice(*rows), slice(*columns)]
    np.testing.assert_array_equal(block.cubes["s2"], np.where(np.isfinite(expected), expected, np.nan))
    assert training.shape(0) == block.cubes["s2"].shape[1:]
    assert np.isnan(block.cubes["s2"]).any()  # clouds
    assert not np.isinf(block.cubes["s1"]).any()
    assert block.cubes["s1"].shape[2:] == block.cubes["s2"].shape[2:]


def test_held_out_dates_are_in_validation_alone(archive):
    _, training, validation = blocks(archive, interval=SUMMER)
    for kept, within in ((training, False), (validation, True)):
        for times in kept.load(0).times.values():
            assert len(times)
            assert (((times >= SUMMER[0]) & (times < SUMMER[1])) == within).all()


def test_windows_come_from_a_site_and_simulated_scenes_together(archive):
    _, training, validation = blocks(archive)
    joined = JoinedBlocks([training, validation])
    source = BlockSampler(
        joined, validation, Sensors(("s1", "s2"), "s2"), Sampling(batch=4, draws=2), validation_windows=4
    )
    batch = source.batch(0)
    assert batch.frames["s2"].shape[2:] == (10, 15, 15)
    assert batch.frames["s1"].shape[:2] == batch.frames["s2"].shape[:2]
    assert sum(len(b) for b in source.validation()) == 4


def test_what_a_site_lacks_is_named(archive):
    heat = Modality("heat", ("B10",), "sentinel2-reflectance", 2, 1)
    with pytest.raises(TrainingError, match=r"heat needs the bands B10"):
        open_site(archive, (heat,))
    with pytest.raises(TrainingError, match="no path for heat"):
        open_site({"s2": archive}, (heat,))
    with pytest.raises(TrainingError, match="only one block"):
        blocks(archive, side=40)


def test_simulated_blocks_differ_by_seed_and_not_otherwise():
    one, other = simulated_blocks(SENSORS[:1], [1, 2], side=16)
    again = simulated_blocks(SENSORS[:1], [1], side=16)[0]
    np.testing.assert_array_equal(one.cubes["s1"], again.cubes["s1"])
    assert one.cubes["s1"].shape[2:] == (16, 16)
    assert not np.array_equal(one.cubes["s1"][:, :20], other.cubes["s1"][:, :20], equal_nan=True)
    with pytest.raises(TrainingError, match="B99"):
        simulated_blocks((Modality("odd", ("B99",), "sentinel2-reflectance", 2, 1),), [1])
