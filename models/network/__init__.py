"""The networks of the two-stage model (Peters et al. 2026, arXiv 2511.11706).

Stage 1 is one autoencoder per sensor: `ModalityEncoder` and `ModalityDecoder`. Stage 2, `TwoStageModel`, fuses the
encoders' bottlenecks. Only networks live here: no missing values, no frame rules, no files.
"""

from models.network.modality import ModalityDecoder, ModalityEncoder
from models.network.two_stage import TwoStageModel

__all__ = ["ModalityDecoder", "ModalityEncoder", "TwoStageModel"]
