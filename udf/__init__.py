"""What runs inside a Dask worker. May import `models`; knows nothing of process graphs or HTTP."""
