"""Processes of the standard that are not offered, and why: none is offered that would not do what it says."""

from __future__ import annotations

_STAC = (
    "It takes STAC that `save_result` has returned; here the files of a result are written when the whole graph has "
    "been computed, so a graph has no STAC to hand on."
)
_READY = (
    "It starts from data that the collections do not have: they are {} already, and cubes do not carry what the "
    "sensor's raw data would be processed with."
)
_OGC = "There is no OGC API - Processes behind this server, and none is called elsewhere."

LEFT_OUT = {
    "ard_normalized_radar_backscatter": _READY.format("terrain-corrected gamma0"),
    "ard_surface_reflectance": _READY.format("surface reflectance"),
    "atmospheric_correction": _READY.format("surface reflectance"),
    "cloud_detection": (
        "There is no detector. Clouds are told by the collection's band `SCL`; `cloud_masked_composite` shows how."
    ),
    "export_collection": f"{_STAC} Collections are added by the server's operator.",
    "export_workspace": (
        f"{_STAC} Cloud workspaces have no endpoint in the API 1.2.0 either; results of jobs are downloaded, or "
        "loaded again with `load_result`."
    ),
    "run_ogcapi": _OGC,
    "run_ogcapi_externally": _OGC,
    "run_udf_externally": "It would send data to servers that users name; the fetch gate only fetches.",
    "sar_backscatter": _READY.format("terrain-corrected gamma0"),
    "stac_modify": _STAC,
}
