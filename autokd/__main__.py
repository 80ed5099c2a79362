"""``python -m autokd`` is the command ``autokd``."""

from autokd.cli import main

main()
