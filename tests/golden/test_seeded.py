"""The project's own golden numbers, written by `make.py`: parity where the published numbers are not at hand."""

from __future__ import annotations

import numpy as np
import pytest

from tests.golden.make import FILE
from tests.golden.outputs import compute_outputs

TOLERANCE = 5e-6


@pytest.fixture(scope="module")
def outputs():
    return compute_outputs()


def test_every_array_is_reproduced(outputs):
    golden = np.load(FILE)
    assert set(golden.files) == set(outputs)
    for name in golden.files:
        np.testing.assert_allclose(outputs[name], golden[name], rtol=0, atol=TOLERANCE, equal_nan=True, err_msg=name)


def test_the_numbers_say_something(outputs):
    """A golden file of constants would hide a broken network."""
    for name, values in outputs.items():
        spread = np.nanstd(values.reshape(values.shape[0], -1), axis=1 if name.endswith("cube") else 0)
        assert spread.max() > 1e-3, name
