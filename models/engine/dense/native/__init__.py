"""The compiled kernels: the dense engine's arithmetic in C++, built on first use where a compiler is there.

Optional: without them, plain torch computes the same numbers more slowly. `build` compiles, `weights` packs a network's
weights, `kernels` calls.
"""
