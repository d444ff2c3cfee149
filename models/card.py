"""Model cards: what a model takes, how it was made, and what its weights must hash to.

Plain dataclasses without torch: the server reads cards, only workers load weights. On disk a card is a STAC Item; see
`models.card_item`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from models.preprocessing.steps import Step

CARD_FILE = "item.json"
QUALITY = ("valid_fraction", "reconstruction_error")  # labels of an embedding's two numbers of quality
ATTENTION = ("frames", "self")
STAGES = ("fusion", "stage1")
_ID = re.compile(r"[a-z][a-z0-9_]{0,31}")
_LICENSE = re.compile(r"[\w.+-]*")


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
    preprocessing : str or tuple of Step
        A name in `models.preprocessing`, or declared steps.
    tokens, bottleneck : int
        Sizes of the encoder: tokens after the reduction over frames, numbers in the bottleneck.
    units : str or tuple of str
        Of the values that go in before preprocessing: one for all bands, or one for each.
    optional : bool
        Whether an embedding is made where this sensor is missing.
    """

    id: str
    bands: tuple[str, ...]
    preprocessing: str | tuple[Step, ...]
    tokens: int
    bottleneck: int
    units: str | tuple[str, ...] = ""
    optional: bool = False

    @property
    def band_units(self) -> tuple[str, ...]:
        """The unit of each band."""
        return (self.units,) * len(self.bands) if isinstance(self.units, str) else self.units

    def __str__(self) -> str:
        """The bands with their units, for messages."""
        if isinstance(self.units, str):
            return f"{', '.join(self.bands)} ({self.units})" if self.units else ", ".join(self.bands)
        return ", ".join(f"{band} ({unit})" for band, unit in zip(self.bands, self.units, strict=True))


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
    training, metrics : dict
        What it was trained on and how; how well it did. Plain JSON values.
    license : str
        An SPDX identifier.
    sha256 : str
        Of the weights' file.
    stage : {"fusion", "stage1"}
        A model that embeds, or one sensor's autoencoder alone, from which a fusion can be trained.
    decoders : bool
        Whether the weights hold decoders.
    created : str
        RFC 3339; set when the model is saved.
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
    metrics: dict[str, Any] = field(default_factory=dict)
    stage: Literal["fusion", "stage1"] = "fusion"
    decoders: bool = True
    created: str = ""

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


def check_card(card: ModelCard) -> ModelCard:
    """Return the card; `CardError` names what a model cannot be built from."""
    for entry, known in (("attention", ATTENTION), ("stage", STAGES)):
        if getattr(card, entry) not in known:
            raise CardError(f"{entry} is {getattr(card, entry)!r}; it must be one of {', '.join(known)}")
    ids = [m.id for m in card.modalities]
    if not ids or len(set(ids)) < len(ids):
        raise CardError(f"the modalities are {', '.join(ids) or 'none'}; there must be some, each with its own id")
    if card.reference not in ids:
        raise CardError(f"reference {card.reference!r} is none of the modalities")
    if card.stage == "stage1" and len(ids) > 1:
        raise CardError(f"a model of stage1 has one modality, not {', '.join(ids)}")
    for id in ids:
        if not _ID.fullmatch(id) or id == "embedding":
            raise CardError(f"the modality's id is {id!r}; it must be a short name in a-z, 0-9 and _, a letter first")
    if not _LICENSE.fullmatch(card.license):
        raise CardError(f"license is {card.license!r}; it must be an SPDX identifier or 'other'")
    for entry in ("size", "reach_days"):
        positive(getattr(card, entry), entry)
    return card


def positive(value: Any, entry: str) -> int:
    """Return a whole number from 1 on; `CardError` names the entry where it is none."""
    if not isinstance(value, int) or isinstance(value, bool) or value < 1:
        raise CardError(f"{entry} is {value!r}; it must be a whole number from 1 on")
    return value


def read_card(folder: Path) -> ModelCard:
    """Read the card of the model in `folder`; `CardError` where it is no card."""
    from models.card_item import card_from_text

    try:
        return card_from_text((folder / CARD_FILE).read_text("utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise CardError(f"{folder / CARD_FILE} is not a model card: {error}") from error
