"""The dense engine: the window engine's numbers with the work shared between neighbouring pixels and dates.

Inside a frame nearly everything up to block1's joined features depends on a pixel's surroundings and on where the
pixel lies in the patch: near a patch's border the convolutions see zeros, so their kernels are truncated. There are
only 49 such kinds of position; each is computed once per pixel and frame (`maps`), and patches pick theirs (`torch`,
`native`). A frame's vector is shared by all windows that hold it, unless something is missing there: then the fill
belongs to one window, and its share is added to the shared maps.
"""

from models.engine.dense.run import DenseEngine, Precision

__all__ = ["DenseEngine", "Precision"]
