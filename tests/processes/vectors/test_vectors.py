"""The processes on vector cubes by their specifications."""

from __future__ import annotations

from typing import Any

import dask.array as da
import numpy as np
import pytest
import shapely
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st

from processes.errors import OpenEOError
from processes.overrides.filters import filter_bbox
from processes.vectors import (
    filter_vector,
    vector_buffer,
    vector_reproject,
    vector_to_random_points,
    vector_to_regular_points,
)
from processes.vectors.cubes import crs_of, make_cube

UTM = "EPSG:32631"
BOX = shapely.box(500_000, 5_600_000, 500_100, 5_600_050)
HOLED = shapely.Polygon(
    [(0, 0), (100, 0), (100, 100), (0, 100)], [[(5, 5), (95, 5), (95, 95), (5, 95)]]
)  # nine tenths of its bounds are a hole
LINE = shapely.LineString([(0, 0), (30, 0), (30, 25)])


def vector(*shapes: Any, crs: str = UTM, **properties: Any) -> xr.DataArray:
    """Return a lazy vector cube with values (geometry, t), as `aggregate_spatial` gives them."""
    values = da.from_array(np.arange(2.0 * len(shapes)).reshape(-1, 2), chunks=1)
    return make_cube(shapes, crs, properties, values, {"t": np.array(["2024-01-01", "2024-01-02"], "datetime64[ns]")})


def labels(cube: xr.DataArray) -> list[Any]:
    return list(cube["geometry"].to_numpy())


class TestFilter:
    inside, edge, across, outside = (
        shapely.box(1, 1, 2, 2), shapely.box(10, 0, 12, 10), shapely.box(8, 8, 12, 12), shapely.Point(50, 50),
    )  # fmt: skip
    base = shapely.box(0, 0, 10, 10)

    def test_a_bounding_box_keeps_what_lies_fully_within(self) -> None:
        on_edge = shapely.LineString([(0, 0), (10, 0)])  # within the box's boundary, which is not its inside
        shapes = [self.inside, self.edge, self.across, self.outside, self.base, on_edge, shapely.Polygon()]
        cube = vector(*shapes, crs="EPSG:4326", n=range(7))
        kept = filter_bbox(cube, {"west": 0, "south": 0, "east": 10, "north": 10})
        assert kept["n"].values.tolist() == [0, 4]
        assert (kept.dims, crs_of(kept, "geometry")) == (cube.dims, crs_of(cube, "geometry"))
        np.testing.assert_array_equal(kept.compute(), cube.isel(geometry=[0, 4]).compute())

    def test_a_bounding_box_in_another_reference_system(self) -> None:
        box = {**dict(zip(("west", "south", "east", "north"), BOX.buffer(1).bounds, strict=True)), "crs": 32631}
        near = vector_reproject(vector(BOX.centroid, shapely.Point(600_000, 5_600_000), n=[0, 1]), 4326)
        assert filter_bbox(near, box)["n"].values.tolist() == [0]
        assert not labels(filter_bbox(near, {**box, "east": box["west"] + 1}))

    @pytest.mark.parametrize(
        ("relation", "kept"),
        [
            ("intersects", [0, 1, 2, 4, 5]),
            ("disjoint", [3]),
            ("within", [0, 4]),
            ("contains", [4, 5]),
            ("equals", [4]),
            ("touches", [1]),
            ("overlaps", [2]),
            ("crosses", []),
        ],
    )
    def test_relations_are_read_from_data_to_geometries(self, relation: str, kept: list[int]) -> None:
        larger = shapely.box(-1, -1, 11, 11)
        cube = vector(self.inside, self.edge, self.across, self.outside, self.base, larger, n=list(range(6)))
        assert filter_vector(cube, vector(self.base), relation)["n"].values.tolist() == kept

    def test_a_line_crosses(self) -> None:
        line = shapely.LineString([(-5, 5), (15, 5)])
        assert labels(filter_vector(vector(line, self.inside), vector(self.base), "crosses")) == [line]

    def test_the_union_of_several_counts(self) -> None:
        """Within two boxes side by side, though in neither alone."""
        middle = shapely.box(8, 1, 12, 2)
        both = vector(self.base, shapely.box(10, 0, 20, 10))
        assert labels(filter_vector(vector(middle), both, "within")) == [middle]
        assert not labels(filter_vector(vector(middle), vector(self.base), "within"))

    def test_empty_geometries_are_removed(self) -> None:
        cube = vector(shapely.Polygon(), self.outside)
        assert labels(filter_vector(cube, vector(self.base), "disjoint")) == [self.outside]

    def test_other_reference_systems_are_converted(self) -> None:
        geographic = vector_reproject(vector(BOX), 4326)
        near = vector(BOX.centroid, shapely.Point(0, 0))
        assert labels(filter_vector(near, geographic)) == [BOX.centroid]

    def test_values_properties_and_system_stay(self, no_compute: None) -> None:
        cube = vector(self.outside, self.inside, name=["a", "b"])
        result = filter_vector(cube, {"type": "Point", "coordinates": [0, 0]}, "disjoint")
        assert labels(result) == labels(cube)
        assert result.sizes == cube.sizes
        assert isinstance(result.data, da.Array)
        kept = filter_vector(cube, vector(self.base))
        assert kept["name"].values.tolist() == ["b"]
        assert crs_of(kept, "geometry").to_epsg() == 32631

    def test_an_unknown_relation(self) -> None:
        with pytest.raises(OpenEOError, match="overlap") as error:
            filter_vector(vector(BOX), vector(BOX), "near")
        assert error.value.code == "ProcessParameterInvalid"


class TestBuffer:
    def test_outward_and_inward(self) -> None:
        point, box = shapely.Point(0, 0), shapely.box(0, 0, 100, 100)
        around = labels(vector_buffer(vector(point, box, LINE), 10))
        assert {shape.geom_type for shape in around} == {"Polygon"}
        assert around[0].area == pytest.approx(np.pi * 100, rel=0.01)
        shrunk = labels(vector_buffer(vector(box, shapely.box(0, 0, 5, 5)), -10))
        assert shrunk[0].area == pytest.approx(80 * 80)
        assert shrunk[1].is_empty
        assert shrunk[1].geom_type == "Polygon"

    def test_empty_geometries_pass_through_and_all_else_stays(self, no_compute: None) -> None:
        cube = vector(shapely.Point(), shapely.MultiPoint([(0, 0), (50, 0)]), name=["a", "b"])
        result = vector_buffer(cube, 1)
        assert labels(result)[0].is_empty
        assert labels(result)[1].area == pytest.approx(2 * np.pi, rel=0.01)
        assert result["name"].values.tolist() == ["a", "b"]
        assert result.sizes == cube.sizes
        assert crs_of(result, "geometry").to_epsg() == 32631
        assert isinstance(result.data, da.Array)

    @pytest.mark.parametrize("crs", ["EPSG:4326", "EPSG:2263"])  # degrees, US survey feet
    def test_the_unit_must_be_meters(self, crs: str) -> None:
        for process in (vector_buffer, vector_to_regular_points):
            with pytest.raises(OpenEOError, match="vector_reproject") as error:
                process(vector(shapely.box(0, 0, 1, 1), crs=crs), 1)
            assert error.value.code == "UnitMismatch"

    @pytest.mark.parametrize("distance", [0, np.nan, np.inf])
    def test_distances_that_are_none(self, distance: float) -> None:
        with pytest.raises(OpenEOError, match="distance"):
            vector_buffer(vector(BOX), distance)


class TestReproject:
    def test_there_and_back(self, no_compute: None) -> None:
        cube = vector(BOX, shapely.Point(), name=["a", "b"])
        there = vector_reproject(cube, 4326)
        assert crs_of(there, "geometry").to_epsg() == 4326
        assert labels(there)[0].bounds == pytest.approx((3.0, 50.5519, 3.0014, 50.5524), abs=1e-4)
        assert there["name"].values.tolist() == ["a", "b"]
        back = vector_reproject(there, 32631)
        assert labels(back)[0].equals_exact(BOX, 1e-6)
        assert back.sizes == cube.sizes
        assert isinstance(back.data, da.Array)

    def test_wkt_and_geojson(self) -> None:
        import pyproj

        moved = vector_reproject({"type": "Point", "coordinates": [3, 50]}, pyproj.CRS(32631).to_wkt())
        assert labels(moved)[0].x == pytest.approx(500_000)

    def test_a_dimension_that_does_not_exist(self) -> None:
        for name in ("other", "t"):
            with pytest.raises(OpenEOError, match="geometry") as error:
                vector_reproject(vector(BOX), 4326, name)
            assert error.value.code == "DimensionNotAvailable"
        assert crs_of(vector_reproject(vector(BOX), 4326, "geometry"), "geometry").to_epsg() == 4326

    def test_all_dimensions_or_one(self) -> None:
        values = np.zeros((1, 1))
        cube = make_cube([BOX], UTM, None, values, {"other": np.array([None], object)})
        cube = cube.assign_coords(other=np.array([BOX], object)).xvec.set_geom_indexes("other", crs=UTM)
        codes = [[crs_of(c, d).to_epsg() for d in c.dims] for c in (vector_reproject(cube, 4326, "other"),)]
        assert codes == [[32631, 4326]]
        both = vector_reproject(cube, 4326)
        assert [crs_of(both, d).to_epsg() for d in both.dims] == [4326, 4326]

    def test_an_unknown_projection_and_one_that_does_not_reach(self) -> None:
        for cube, projection in ((vector(BOX), 1), (vector(shapely.Point(0, 95), crs="EPSG:4326"), 3857)):
            with pytest.raises(OpenEOError, match="projection") as error:
                vector_reproject(cube, projection)
            assert error.value.code == "ProcessParameterInvalid"


class TestRandomPoints:
    def test_one_per_geometry_by_default(self) -> None:
        cube = vector(BOX, LINE, shapely.Point(1, 2), name=["a", "b", "c"])
        result = vector_to_random_points(cube, seed=1)
        assert [(s.geom_type, len(s.geoms)) for s in labels(result)] == [("MultiPoint", 1)] * 3
        assert result["name"].values.tolist() == ["a", "b", "c"]
        assert labels(result)[2].geoms[0] == shapely.Point(1, 2)

    @pytest.mark.parametrize(
        ("each", "total", "counts"), [(5, None, [5, 5]), (None, 7, [4, 3]), (2, 7, [2, 2]), (9, 3, [2, 1])]
    )
    def test_counts(self, each: int | None, total: int | None, counts: list[int]) -> None:
        result = vector_to_random_points(vector(BOX, HOLED), each, total)
        assert [len(shape.geoms) for shape in labels(result)] == counts

    def test_points_are_taken_once(self) -> None:
        points = shapely.MultiPoint([(0, 0), (1, 1), (1, 1), (2, 2)])
        (sampled,) = labels(vector_to_random_points(vector(points), 10))
        assert sorted(p.x for p in sampled.geoms) == [0, 1, 2]

    def test_too_few_for_all(self) -> None:
        with pytest.raises(OpenEOError, match="2 geometries") as error:
            vector_to_random_points(vector(BOX, LINE), total_count=1)
        assert error.value.code == "CountMismatch"

    def test_seeds(self) -> None:
        first, same, other = (labels(vector_to_random_points(vector(BOX), 3, seed=s))[0] for s in (1, 1, -1))
        assert first.equals(same)
        assert not first.equals(other)
        unseeded = [labels(vector_to_random_points(vector(BOX), 3))[0] for _ in range(2)]
        assert not unseeded[0].equals(unseeded[1])

    def test_ungrouped_points_carry_values_and_properties_but_no_identifier(self, no_compute: None) -> None:
        cube = vector(BOX, shapely.Point(), LINE, name=["a", "b", "c"], id=["1", "2", "3"])
        result = vector_to_random_points(cube, 2, group=False, seed=0)
        assert result["name"].values.tolist() == ["a", "a", "b", "c", "c"]
        assert [s.is_empty for s in labels(result)] == [False, False, True, False, False]
        assert {s.geom_type for s in labels(result)} == {"Point"}
        assert "id" not in result.coords
        assert "id" in vector_to_random_points(cube).coords
        assert isinstance(result.data, da.Array)

    def test_points_lie_in_their_polygon_and_everywhere_in_it(self) -> None:
        (sampled,) = labels(vector_to_random_points(vector(HOLED), 2000, seed=2))
        assert HOLED.buffer(1e-9).covers(sampled)
        left = np.mean([p.x < 50 for p in sampled.geoms])
        assert 0.45 < left < 0.55
        share = np.mean([p.x < 5 for p in sampled.geoms])  # 500 of 1900 square meters
        assert share == pytest.approx(500 / 1900, abs=0.04)

    def test_points_on_lines(self) -> None:
        (sampled,) = labels(vector_to_random_points(vector(LINE), 500, seed=2))
        assert max(LINE.distance(p) for p in sampled.geoms) < 1e-9
        assert np.mean([p.y == 0 for p in sampled.geoms]) == pytest.approx(30 / 55, abs=0.07)

    @settings(max_examples=20, deadline=None)
    @given(st.lists(st.tuples(st.integers(0, 20), st.integers(0, 20)), min_size=3, max_size=8), st.integers(0, 99))
    def test_any_ring_however_odd(self, ring: list[tuple[int, int]], seed: int) -> None:
        shape = shapely.Polygon(ring)
        (sampled,) = labels(vector_to_random_points(vector(shape), 4, seed=seed))
        assert 1 <= len(sampled.geoms) <= 4
        assert shapely.make_valid(shape).distance(sampled) < 1e-9


class TestRegularPoints:
    def test_polygons_are_sampled_at_the_centres_of_cells_from_the_upper_left(self) -> None:
        (points,) = labels(vector_to_regular_points(vector(shapely.box(0, 0, 25, 20)), 10))
        # The third column's centres, at 25, lie on the edge, which belongs to the polygon.
        assert sorted((p.x, p.y) for p in points.geoms) == [(5, 5), (5, 15), (15, 5), (15, 15), (25, 5), (25, 15)]
        (holed,) = labels(vector_to_regular_points(vector(HOLED), 10))
        assert all(HOLED.covers(p) for p in holed.geoms)
        assert len(holed.geoms) == 36

    def test_a_polygon_too_small_gives_its_first_coordinate(self) -> None:
        triangle = shapely.Polygon([(3, 0), (4, 0), (4, 1)])
        (points,) = labels(vector_to_regular_points(vector(triangle), 100))
        assert [(p.x, p.y) for p in points.geoms] == [(3, 0)]

    def test_lines_are_walked_along(self) -> None:
        (points,) = labels(vector_to_regular_points(vector(LINE), 20))
        assert [(p.x, p.y) for p in points.geoms] == [(0, 0), (20, 0), (30, 10)]
        (exact,) = labels(vector_to_regular_points(vector(shapely.LineString([(0, 0), (0.3, 0)])), 0.1))
        assert len(exact.geoms) == 4

    def test_points_are_returned_as_they_are(self) -> None:
        point, several = shapely.Point(3, 4), shapely.MultiPoint([(0, 0), (1, 0)])
        result = labels(vector_to_regular_points(vector(point, several), 100))
        assert [len(shape.geoms) for shape in result] == [1, 2]

    def test_ungrouped(self, no_compute: None) -> None:
        cube = vector(LINE, shapely.Polygon(), name=["a", "b"])
        result = vector_to_regular_points(cube, 20, group=False)
        assert [s.geom_type for s in labels(result)] == ["Point", "Point", "Point", "Polygon"]
        assert result["name"].values.tolist() == ["a", "a", "a", "b"]

    def test_distances_that_give_too_many_points(self) -> None:
        for distance in (0.001, 0, -1, np.nan):
            with pytest.raises(OpenEOError, match="distance") as error:
                vector_to_regular_points(vector(BOX), distance)
            assert error.value.code == "ProcessParameterInvalid"

    @settings(max_examples=20, deadline=None)
    @given(st.floats(3, 40), st.floats(10, 90))
    def test_points_keep_their_distance(self, distance: float, width: float) -> None:
        shape = shapely.MultiPolygon([shapely.box(0, 0, width, 30), shapely.box(width + 1, 5, 150, 60)])
        (points,) = labels(vector_to_regular_points(vector(shape), distance))
        places = np.array([(p.x, p.y) for p in points.geoms])
        gaps = np.hypot(*(places[:, None] - places[None]).transpose(2, 0, 1)) + np.eye(len(places)) * 1e9
        assert gaps.min() >= distance * (1 - 1e-9)


@pytest.mark.parametrize(
    "process",
    [
        lambda data: filter_vector(data, vector(BOX)),
        lambda data: filter_vector(vector(BOX), data),
        lambda data: vector_buffer(data, 1),
        lambda data: vector_reproject(data, 4326),
        vector_to_random_points,
        lambda data: vector_to_regular_points(data, 1),
    ],
)
def test_what_is_no_vector_cube(process: Any) -> None:
    for data in (xr.DataArray(np.zeros((2, 2)), dims=("y", "x")), 3, {"type": "nothing"}):
        with pytest.raises(OpenEOError) as error:
            process(data)
        assert error.value.code == "ProcessParameterInvalid"
