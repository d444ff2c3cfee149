"""What is compared: embeddings, the bands of the same moment, and as many principal components of these."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from sklearn.decomposition import PCA
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler

from models.evaluation.samples import Samples, Table, TaskError

KINDS = ("embedding", "bands", "components")


@dataclass(frozen=True)
class FeatureMaker:
    """Makes standardised features of one kind; what it needs to know it learns from training samples alone."""

    kind: str
    transform: Pipeline

    def __call__(self, samples: Samples) -> Table:
        """The features of each sample, (n, features)."""
        return np.asarray(self.transform.transform(_source(samples, self.kind)), np.float32)


def learn_features(kind: str, training: Sequence[Samples]) -> FeatureMaker:
    """Learn the means and standard deviations, and for ``components`` the axes, from `training`.

    Raises
    ------
    ValueError
        `kind` is none of `KINDS`.
    TaskError
        A single sample has no components.
    """
    if kind not in KINDS:
        raise ValueError(f"kind is {kind!r}; it must be one of {', '.join(KINDS)}")
    steps = [StandardScaler()]
    if kind == "components":
        steps += [PCA(components_of(training), random_state=0), StandardScaler()]
    values = np.concatenate([_source(s, kind) for s in training])
    return FeatureMaker(kind, make_pipeline(*steps).fit(values))


def components_of(training: Sequence[Samples]) -> int:
    """How many principal components are taken: as many as numbers of the embedding, where bands and samples do."""
    many = sum(map(len, training))
    if many < 2:
        raise TaskError("principal components need two pixels and dates with an embedding")
    return min(many, *(int(n) for s in training for n in (s.embedding.shape[1], s.bands.shape[1])))


def _source(samples: Samples, kind: str) -> NDArray[np.float32]:
    return samples.embedding if kind == "embedding" else samples.bands
