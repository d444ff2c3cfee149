"""Process graphs: checked once at the edge, then evaluated to lazy values. Knows no single process by name but those
that a halo passes through.

May import `processes.errors`, `processes.environment` and openeo-pg-parser-networkx (its data model and registry
types, never its evaluator).
"""

from __future__ import annotations

from processes.graph.callbacks import Callback
from processes.graph.check import GraphLimits, check_graph, validate_graph
from processes.graph.evaluator import evaluate
from processes.graph.flat import FlatGraph
from processes.graph.pixels import PerPixel

__all__ = ["Callback", "FlatGraph", "GraphLimits", "PerPixel", "check_graph", "evaluate", "validate_graph"]
