"""What a model is while a graph is built: a name, or a description and a task that will have fitted it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

Task = Literal["classification", "regression", "clustering"]


@dataclass(frozen=True)
class ModelHandle:
    """One of the back-end's embedding models, by its name in the model registry."""

    name: str


@dataclass(frozen=True)
class ModelCard:
    """What is known of a trained model before it is fitted.

    Parameters
    ----------
    task : str
        ``classification``, ``regression`` or ``clustering``.
    method : str
        As it is called in the literature.
    features : tuple of str
        The labels of the numbers that go in, in the order of the training data.
    classes : tuple of str
        Where the training sites' classes are texts: what the predicted numbers 0, 1, 2, ... stand for.
    options : mapping
        Arguments of the process that fitted it.
    bbox : tuple of float, optional
        West, south, east, north of the training data in EPSG:4326.
    """

    task: Task
    method: str
    features: tuple[str, ...]
    classes: tuple[str, ...] = ()
    options: Mapping[str, Any] = field(default_factory=dict)
    bbox: tuple[float, float, float, float] | None = None


@dataclass(frozen=True, eq=False)
class FittedModel:
    """A model that was trained here; `estimator` is a Dask Delayed of scikit-learn's fitted object."""

    card: ModelCard
    estimator: Any
