"""What a model's embeddings are worth, measured against the bands that they were made of.

Takes arrays (`Site`), not files: `processes.evaluation` makes sites of simulated scenes and of collections. One
question a module: `reconstruction` (what is kept), `tasks` (what can be told from it), `structure` (how it varies in
space and time).
"""

from models.evaluation.encoding import Encoded, encode, take_samples, thinned, windows_of
from models.evaluation.reconstruction import reconstruction_errors
from models.evaluation.samples import Samples, Site, TaskError
from models.evaluation.structure import coherence, smoothness
from models.evaluation.tasks import land_cover_by_date, land_cover_by_year, productivity

__all__ = [
    "Encoded",
    "Samples",
    "Site",
    "TaskError",
    "coherence",
    "encode",
    "land_cover_by_date",
    "land_cover_by_year",
    "productivity",
    "reconstruction_errors",
    "smoothness",
    "take_samples",
    "thinned",
    "windows_of",
]
