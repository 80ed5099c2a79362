"""The command line: parse, call, print. Decisions are made below.

Standard output holds the result only; progress and messages go to standard error. Exit codes: 0, 1 for what went
wrong while running, 2 for what cannot be meant. Commands import what they need when they run, so that help, listings
and reports start without torch.
"""

from autokd.cli.main import main

__all__ = ["main"]
