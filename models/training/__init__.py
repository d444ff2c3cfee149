"""Training: losses, and the loop that fits the two stages. Takes a window source; knows nothing of catalogues."""
