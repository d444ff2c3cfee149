"""How many examples tests of properties try: few in each run, more where somebody asks for them."""

from __future__ import annotations

import os

VARIABLE = "OPENEO_EMBED_TEST_EXAMPLES"


def examples(few: int) -> int:
    """Return so many examples, times the number in `OPENEO_EMBED_TEST_EXAMPLES`."""
    return few * int(os.environ.get(VARIABLE, "1"))
