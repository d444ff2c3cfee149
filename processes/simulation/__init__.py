"""A simulator of Sentinel-1 and Sentinel-2 time series, and the sample archive made with it.

Needs numpy, scipy, zarr and pyproj only; nothing here knows of process graphs. One idea a module: `landscape` (with
`features` and `parcels`), `weather`, `phenology`, `spectra` and `surface`, `sun`, `clouds`, `orbits`, `sensor`,
`classification`, `backscatter`; `scene` puts them together and `archive` writes them down.
"""

from processes.simulation.archive import write_archive, write_sample_archive
from processes.simulation.bands import LAND_COVER_CLASSES, S1_BANDS, S2_BANDS, SCL_CLASSES
from processes.simulation.scene import OpticalImage, Scene, Simulation, simulate_scene
from processes.simulation.spec import Climate, LandscapeShares, SceneSpec, drawn_spec

__all__ = [
    "LAND_COVER_CLASSES",
    "S1_BANDS",
    "S2_BANDS",
    "SCL_CLASSES",
    "Climate",
    "LandscapeShares",
    "OpticalImage",
    "Scene",
    "SceneSpec",
    "Simulation",
    "drawn_spec",
    "simulate_scene",
    "write_archive",
    "write_sample_archive",
]
