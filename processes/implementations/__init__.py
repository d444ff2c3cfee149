"""The processes that differ from openeo-processes-dask, or that it lacks: one module each, plain functions."""
