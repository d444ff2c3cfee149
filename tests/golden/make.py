"""Write the project's own golden numbers, `seeded.npz`: ``python -m tests.golden.make``.

They are only as good as the code that writes them, so that code must reproduce the published method's numbers
first: the tests in `test_published.py` are run against the reference folder, and nothing is written if they skip.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np

from tests.golden.outputs import compute_outputs

FILE = Path(__file__).with_name("seeded.npz")


def main() -> None:
    """Verify against the published numbers, then write."""
    tests = Path(__file__).with_name("test_published.py")
    run = subprocess.run(
        [sys.executable, "-m", "pytest", str(tests), "-rs"], capture_output=True, text=True, check=False
    )
    sys.stdout.write(run.stdout)
    if run.returncode or "skipped" in run.stdout:
        sys.exit("The published numbers are not reproduced here: nothing written.")
    np.savez_compressed(FILE, **compute_outputs())
    sys.stdout.write(f"{FILE}: {FILE.stat().st_size} bytes\n")


if __name__ == "__main__":
    main()
