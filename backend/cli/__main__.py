"""``python -m backend.cli``: the command line where its script is not on the path."""

from backend.cli import main

main()
