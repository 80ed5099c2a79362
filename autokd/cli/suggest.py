"""What a mistyped word was probably meant to be, and errors of usage as one line."""

from __future__ import annotations

import difflib
from typing import Any

import click


class Choice(click.Choice[str]):
    """One of several words; an error names the nearest one."""

    def get_invalid_choice_message(self, value: Any, ctx: click.Context | None) -> str:
        near = difflib.get_close_matches(str(value), [str(choice) for choice in self.choices], n=1)
        told = super().get_invalid_choice_message(value, ctx)
        return f"{told} Did you mean {near[0]!r}?" if near else told


def usage_line(error: click.ClickException) -> str:
    """A wrong command line in one line: what is wrong, what was probably meant, and where the help is."""
    text = " ".join((_nearest(error) or error.format_message()).split())
    context = error.ctx if isinstance(error, click.UsageError) else None
    return f"{text} (see {context.command_path} --help)" if context is not None else text


def _nearest(error: click.ClickException) -> str:
    """An unknown command or option with the one name that is nearest to it; of other errors nothing."""
    names = getattr(error, "possibilities", None)
    return f"{error.message} Did you mean {names[0]!r}?" if names else ""
