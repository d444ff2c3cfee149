"""Models that process graphs train, keep and run: forests, k-means, principal components.

A model in a graph is a value that is not there yet: fitting is one task among those that compute the result. Nothing
is ever unpickled from a file: models are kept with skops, whose list of types says what may be loaded.
"""
