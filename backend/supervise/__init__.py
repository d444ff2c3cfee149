"""What `serve` runs: the Dask scheduler, the Dask workers, the runners of batch jobs and the web server, each a process
of its own, kept alive.

`python -m backend.supervise ROLE` is one of these processes; it reads its orders from standard input, and ends when
that closes.
"""
