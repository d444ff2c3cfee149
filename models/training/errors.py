"""What can go wrong in training and is not a bug."""

from __future__ import annotations


class TrainingError(ValueError):
    """Training cannot begin or go on; the message says which setting or which data to change."""
