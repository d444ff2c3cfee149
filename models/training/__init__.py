"""Training of both stages: windows, losses, the two tasks, and the loop that runs them.

Takes a window source (`WindowSource`); knows nothing of catalogues. Only `loop` and `run` import Lightning, which is in
the extra ``train``.
"""
