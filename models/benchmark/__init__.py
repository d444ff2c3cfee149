"""How fast the engines are, how exact and how much memory they take: one run, one cube, one machine."""

from models.benchmark.cases import CASES, SERIES, Case, Cubes, Times, blobs, fields, make_case
from models.benchmark.device import ceilings, machine, processor
from models.benchmark.engines import Result, measure, measure_alone, sample, windows_of
from models.benchmark.exact import Reference, reference
from models.benchmark.work import alone_work, bytes_per_embedding, work_per_embedding

__all__ = [
    "CASES",
    "SERIES",
    "Case",
    "Cubes",
    "Reference",
    "Result",
    "Times",
    "alone_work",
    "blobs",
    "bytes_per_embedding",
    "ceilings",
    "fields",
    "machine",
    "make_case",
    "measure",
    "measure_alone",
    "processor",
    "reference",
    "sample",
    "windows_of",
    "work_per_embedding",
]
