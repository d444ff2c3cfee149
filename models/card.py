"""Model cards: what a model takes, how it was made, and what its weights must hash to.

Plain dataclasses without torch: the server reads cards, only workers load weights.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal, cast

CARD_FILE = "card.json"
ATTENTION = ("frames", "self")


class CardError(ValueError):
    """A card that cannot be used; the message says which entry."""


@dataclass(frozen=True)
class Modality:
    """One sensor of a model.

    Attributes
    ----------
    id : str
        Short name, such as ``s2``.
    bands : tuple of str
        Band names in the order of the network's channels.
    preprocessing : str
        Name of the preprocessing in `models.preprocessing`.
    tokens, bottleneck : int
        Sizes of the encoder: tokens after the reduction over frames, numbers in the bottleneck.
    units : str
        Of the values that go in before preprocessing.
    """

    id: str
    bands: tuple[str, ...]
    preprocessing: str
    tokens: int
    bottleneck: int
    units: str = ""


@dataclass(frozen=True)
class ModelCard:
    """What is known of a model beside its weights; see `Modality` for the sensors.

    Attributes
    ----------
    attention : {"frames", "self"}
        What the encoders' transformer attends to: the frames of a window, or each frame itself alone.
    reference : str
        The modality whose pixels and dates are embedded.
    reach_days : int
        Under the frame rule `local`, how far from its date a window's frames may be.
    size : int
        Numbers in an embedding.
    sha256 : str
        Of the weights' file.
    """

    name: str
    modalities: tuple[Modality, ...]
    reference: str
    attention: Literal["frames", "self"] = "frames"
    size: int = 7
    reach_days: int = 100
    description: str = ""
    training: dict[str, Any] = field(default_factory=dict)
    license: str = ""
    sha256: str = ""

    @property
    def labels(self) -> list[str]:
        """Band labels of the embedding, ``F01``, ``F02``, ..."""
        return [f"F{i + 1:02d}" for i in range(self.size)]

    def modality(self, id: str) -> Modality:
        """Return the modality of that id."""
        return next(m for m in self.modalities if m.id == id)


def published_modalities() -> tuple[Modality, ...]:
    """The sensors of the published model, in the order of its type embedding."""
    s2 = ("B02", "B03", "B04", "B05", "B06", "B07", "B08", "B8A", "B11", "B12")
    return (
        Modality("s1", ("VV", "VH"), "sentinel1-power", tokens=7, bottleneck=2, units="linear power"),
        Modality("s2", s2, "sentinel2-reflectance", tokens=6, bottleneck=9, units="reflectance"),
    )


def read_card(folder: Path) -> ModelCard:
    """Read the card of the model in `folder`; `CardError` where it is no card."""
    try:
        return card_from_dict(json.loads((folder / CARD_FILE).read_text("utf-8")))
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise CardError(f"{folder / CARD_FILE} is not a model card: {error}") from error


def card_from_dict(entries: dict[str, Any]) -> ModelCard:
    """Build and check a card from its JSON form."""
    modalities = tuple(Modality(**{**m, "bands": tuple(m["bands"])}) for m in entries["modalities"])
    card = ModelCard(**cast(Any, {**entries, "modalities": modalities}))
    if card.attention not in ATTENTION:
        raise CardError(f"attention is {card.attention!r}; it must be one of {', '.join(ATTENTION)}")
    if card.reference not in {m.id for m in card.modalities}:
        raise CardError(f"reference {card.reference!r} is none of the modalities")
    return card


def card_to_json(card: ModelCard) -> str:
    """The JSON text of a card, ending in a newline."""
    return json.dumps(asdict(card), indent=2) + "\n"
