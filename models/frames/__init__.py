"""Frame rules: which frames the window of a pixel and date holds. NumPy only.

A rule turns validity masks and dates into a `WindowList`; the engines compute whatever list they are given.
"""

from models.frames.cube import cube_windows
from models.frames.local import local_windows
from models.frames.windows import EDGE, FRAMES, PATCH, WindowList, sees

__all__ = ["EDGE", "FRAMES", "PATCH", "WindowList", "cube_windows", "local_windows", "sees"]
