"""What is taken from openeo-pg-parser-networkx: its data model and its registry types.

Its evaluator is not used (it reuses a callback's first value for all later calls, among others), and its parser turns
strings such as "2024" and "P1D" into dates and durations wherever they stand: nodes are built without it.
"""

from __future__ import annotations

import sys

_limit = sys.getrecursionlimit()

from openeo_pg_parser_networkx import Process, ProcessRegistry  # noqa: E402
from openeo_pg_parser_networkx.pg_schema import (  # noqa: E402
    BoundingBox,
    ParameterReference,
    ProcessNode,
    ResultReference,
    TemporalInterval,
)

# Importing the package sets the limit to 16385, with which a deep recursion ends the interpreter instead of raising.
sys.setrecursionlimit(_limit)

__all__ = [
    "BoundingBox",
    "ParameterReference",
    "Process",
    "ProcessNode",
    "ProcessRegistry",
    "ResultReference",
    "TemporalInterval",
]
