"""`apply_metadata`: what the user says of the dimensions and labels of the result."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from openeo.metadata import Band, BandDimension, CollectionMetadata, Dimension, SpatialDimension, TemporalDimension


class _Labelled(Dimension):
    """A dimension whose labels can be renamed, which the client's own have for bands only."""

    labels: list[Any]

    def rename(self, name: str) -> Dimension:
        renamed = super().rename(name)
        return with_labels(renamed, self.labels)

    def rename_labels(self, target: Sequence[Any], source: Sequence[Any] | None = None) -> Dimension:
        new = dict(zip(source, target, strict=True)) if source else None
        labels = list(target) if new is None else [new.get(label, label) for label in self.labels]
        return with_labels(super().rename_labels(target, source), labels)


class _Times(_Labelled, TemporalDimension):
    pass


class _Others(_Labelled, Dimension):
    pass


def with_labels(dimension: Dimension, labels: Sequence[Any]) -> Dimension:
    """Return a temporal or other dimension that knows its labels."""
    made: Any
    if isinstance(dimension, TemporalDimension):
        made = _Times(dimension.name, dimension.extent)
    else:
        made = _Others(type=dimension.type, name=dimension.name)
    made.labels = list(labels)
    return made  # type: ignore[no-any-return]


def metadata_of(dimensions: Sequence[Mapping[str, Any]]) -> CollectionMetadata:
    """Return metadata of a cube; each dimension is given by name, type and labels (spatial ones by extent)."""
    return CollectionMetadata({}, dimensions=[_dimension(told) for told in dimensions])


def _dimension(told: Mapping[str, Any]) -> Dimension:
    name, kind = told["name"], told["type"]
    if kind == "spatial":
        return SpatialDimension(name, extent=told["extent"], step=told.get("step"))
    if kind == "bands":
        return BandDimension(name, [Band(str(label)) for label in told["labels"]])
    labels = told.get("labels") or []
    if kind == "temporal":
        extent = [str(labels[0]), str(labels[-1])] if labels else ["", ""]
        return with_labels(TemporalDimension(name, extent), labels)
    return with_labels(Dimension(type=kind, name=name), labels)


def told_by(metadata: Any) -> list[dict[str, Any]]:
    """Return the dimensions of metadata: name, type and, where they are known, labels."""
    dimensions = getattr(metadata, "_dimensions", None)
    if dimensions is None:
        raise TypeError(f"apply_metadata returned {type(metadata).__name__}, not the metadata of a cube")
    told = []
    for dimension in dimensions:
        entry: dict[str, Any] = {"name": str(dimension.name), "type": str(dimension.type)}
        labels = dimension.band_names if isinstance(dimension, BandDimension) else getattr(dimension, "labels", None)
        told.append(entry if labels is None else {**entry, "labels": list(labels)})
    return told
