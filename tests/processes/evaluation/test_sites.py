"""Sites of simulated scenes, and of collections with labels."""

from __future__ import annotations

import numpy as np
import pytest
import xarray as xr

from models.card import Modality, ModelCard, published_modalities
from models.evaluation.samples import NO_CLASS
from processes.evaluation import labelled_site, simulated_site
from processes.evaluation.collections import _fields
from tests.backend.made_sites import write_site

CARD = ModelCard("test", published_modalities(), "s2")


def test_a_simulated_site_has_its_truth():
    site = simulated_site(CARD, seed=5, size=24)
    assert site.cubes["s2"].shape == (10, len(site.times["s2"]), 24, 24)
    assert site.cubes["s1"].shape == (2, len(site.times["s1"]), 24, 24)
    assert np.nanmin(site.cubes["s2"]) >= 0
    assert np.isnan(site.cubes["s2"]).mean() > 0.1  # clouds
    assert set(np.unique(site.land_cover)) <= set(site.classes)
    assert site.productivity.shape == (365, 24, 24)
    same = simulated_site(CARD, seed=5, size=24)
    np.testing.assert_array_equal(site.cubes["s2"], same.cubes["s2"])


def test_sensors_that_are_not_simulated_are_named():
    landsat = Modality("l8", ("B4", "B5"), "sentinel2-reflectance", tokens=6, bottleneck=4)
    with pytest.raises(ValueError, match="no band B4, B5"):
        simulated_site(ModelCard("test", (*CARD.modalities, landsat), "s2"), seed=1)


def test_fields_are_connected_pieces_of_a_class():
    cover = np.array([[1, 1, NO_CLASS, 2], [NO_CLASS, 1, NO_CLASS, 2], [2, NO_CLASS, NO_CLASS, 1]])
    fields = _fields(cover)
    assert fields[0, 0] == fields[1, 1]
    assert fields[0, 3] == fields[1, 3]
    assert len({fields[0, 0], fields[0, 3], fields[2, 0], fields[2, 3]}) == 4
    assert (fields[cover == NO_CLASS] == NO_CLASS).all()


def test_pixels_without_a_label_have_no_class(tmp_path):
    """Labels are unsigned as a rule: what stands for "not known" must not wrap round to a class."""
    write_site(tmp_path, "optical", {"G": 0.2}, dates=2, side=4)
    sensor = Modality("optical", ("G",), "sentinel2-reflectance", tokens=2, bottleneck=1)
    labels = np.array([[7, 7, 0, 9]] * 4, np.uint16)
    axes = {"x": 600_000.0 + 10 * np.arange(4), "y": 5_000_000.0 - 10 * np.arange(4)}
    xr.Dataset({"CT": (("y", "x"), labels)}, axes).to_netcdf(tmp_path / "labels.nc")
    site = labelled_site(ModelCard("test", (sensor,), "optical"), tmp_path / "optical.zarr", tmp_path / "labels.nc")
    assert site.land_cover.tolist() == [[7, 7, NO_CLASS, 9]] * 4
    assert site.classes == {7: "CT 7", 9: "CT 9"}
    assert (site.fields == NO_CLASS).tolist() == [[False, False, True, False]] * 4


def test_the_real_site_with_its_crops(real_site):
    site = labelled_site(CARD, real_site, real_site / "labels_10m.nc")
    assert site.cubes["s2"].shape[2:] == site.cubes["s1"].shape[2:] == (64, 64)
    assert site.classes == {c: f"CT {c}" for c in (1200, 2130, 5100, 7900, 9120)}
    assert (site.land_cover == 1200).sum() == 1249
    with pytest.raises(ValueError, match="no variable 'crop'"):
        labelled_site(CARD, real_site, real_site / "labels_10m.nc", "crop")


def test_labels_of_another_place_are_refused(real_site, tmp_path):
    labels = xr.Dataset({"CT": (("y", "x"), np.ones((3, 3), np.uint16))}, {"x": [0.0, 10, 20], "y": [20.0, 10, 0]})
    labels.to_netcdf(tmp_path / "labels.nc")
    with pytest.raises(ValueError, match="does not cover"):
        labelled_site(CARD, real_site, tmp_path / "labels.nc")
