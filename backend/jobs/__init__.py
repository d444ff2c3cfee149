"""Batch jobs: their states, their store, the runner that computes them, and what their results look like.

The web processes import `states`, `model`, `store` and what describes results; only runners import the rest.
"""
