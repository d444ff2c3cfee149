"""What the GPU path moves between its steps: bytes read and written by all kernels, if no cache kept any of it.

Counted from the code, in rows of 152 channels, of 128, of 64 and of 256 numbers. What patches share of maps is counted
once, and what a convolution's taps share: neighbours read it soon after one another. For products on matrix units;
cuBLAS is given what a convolution multiplies, and activations are steps of their own.
"""

from __future__ import annotations

from models.engine.dense.gpu.weights import WIDE
from models.engine.dense.kinds import KINDS
from models.frames import FRAMES
from models.network.frame_encoder import FRAME_VECTOR

KINDS7, KINDS3 = KINDS**2, 9
# Tap products, activated sums, the 3x3's part: each written and read. Joined features: written.
PIXEL = WIDE * (2 * KINDS7 + 2 * KINDS7 + KINDS7 + 3 * 2 * KINDS3)

# Joined features are read three times, y once; what conv1 multiplies is written and read. So on, layer by layer.
BLOCK1 = WIDE * (3 * KINDS7 + 1 + 2 * 4 * 49)
BLOCK2 = 128 * 49 * (1 + 2 + 1 + 3) + 2 * 4 * 16 * 128
BLOCK3 = 64 * 16 * 2 + 16 * 16 * 3
PATCH = BLOCK1 + BLOCK2 + BLOCK3

# A layer: queries, keys and values, what they are mixed to, what becomes of that; tokens are read twice and written.
LAYER = FRAMES * FRAME_VECTOR * (2 * 3 + 1 + 2 + 2 + 2)
WINDOW = 3 * LAYER + FRAMES * FRAME_VECTOR * 4


def bytes_moved(pixels: float, patches: float, windows: float, rounded: bool) -> float:
    """Bytes for so many pixels' maps, patches' vectors and windows' bottlenecks of a sensor."""
    size = 2 if rounded else 4
    return size * (pixels * PIXEL + patches * PATCH + windows * WINDOW)
