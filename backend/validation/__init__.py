"""What is wrong with a process graph, all of it: structure, processes, parameters, and what only cubes can tell."""

from backend.validation.faults import find_faults

__all__ = ["find_faults"]
