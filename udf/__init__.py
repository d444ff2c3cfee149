"""What runs inside a Dask worker: the embedding of a tile, the models and devices of a worker.

May import `models`; knows nothing of process graphs or HTTP. Importing it does not import torch: the server builds
graphs with it, only workers run them.
"""

from udf.embedding import InputError, SensorCube, embed_lazily
from udf.model_shelf import ModelReference, ModelShelf

__all__ = ["InputError", "ModelReference", "ModelShelf", "SensorCube", "embed_lazily"]
