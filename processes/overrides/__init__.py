"""Our own implementations of processes where the library's break the specification; lazy on Dask."""
