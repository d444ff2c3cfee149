"""Sites to evaluate models at: simulated scenes, whose truth is known, and collections with labels."""

from processes.evaluation.collections import labelled_site
from processes.evaluation.simulated import simulated_site

__all__ = ["labelled_site", "simulated_site"]
