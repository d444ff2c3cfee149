"""Trained models as bytes, by skops: only types that we name are ever loaded, and trees are checked before use."""

from __future__ import annotations

from typing import Any

import numpy as np

from processes.errors import OpenEOError

# skops refuses this one by itself, because scikit-learn follows a tree's node numbers without looking: we look.
TRUSTED = ["sklearn.tree._tree.Tree"]
_KINDS = ("RandomForestClassifier", "RandomForestRegressor", "KMeans")


def to_bytes(estimator: Any) -> bytes:
    """Return a fitted scikit-learn forest or KMeans as the content of a skops file."""
    from zipfile import ZIP_DEFLATED

    import skops.io

    content: bytes = skops.io.dumps(estimator, compression=ZIP_DEFLATED, compresslevel=6)
    return content


def from_bytes(content: bytes) -> Any:
    """Return the estimator that `to_bytes` wrote.

    Raises
    ------
    OpenEOError
        StorageFailure when it holds a type that is not known to be harmless, or is damaged.
    """
    import skops.io

    try:
        estimator = skops.io.loads(content, trusted=TRUSTED)
    except Exception as error:  # a damaged file fails in any way there is
        raise _refused(f"it cannot be read: {type(error).__name__}: {str(error)[:200]}") from error
    kind = type(estimator)
    if kind.__name__ not in _KINDS or not kind.__module__.startswith("sklearn."):
        raise _refused(f"it holds a {kind.__name__}, not one of {', '.join(_KINDS)}")
    for tree in getattr(estimator, "estimators_", []):
        _check_tree(tree.tree_, int(estimator.n_features_in_))
    return estimator


def _check_tree(tree: Any, features: int) -> None:
    """Refuse a tree whose nodes do not lead down to leaves, or that asks for features that there are not."""
    nodes = tree.__getstate__()["nodes"]
    left, right, feature = nodes["left_child"], nodes["right_child"], nodes["feature"]
    count = len(nodes)
    place = np.arange(count)
    leaf = left == -1
    inside = (left > place) & (left < count) & (right > place) & (right < count) & (feature >= 0) & (feature < features)
    if count != tree.node_count or tree.n_features != features or not (leaf | inside).all():
        raise _refused("one of its trees has nodes that lead nowhere")


def _refused(reason: str) -> OpenEOError:
    return OpenEOError("StorageFailure", f"The stored model is not used: {reason}. Train and save it again.")
