"""Engines: the same numbers from the same windows, by different roads. `windows` is the readable reference."""
