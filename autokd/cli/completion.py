"""Completion in the shell: the script that ``autokd completion`` prints, and the words that are not fixed."""

from __future__ import annotations

import os

import click
from click.shell_completion import CompletionItem, get_completion_class

from autokd.cli.suggest import Choice
from autokd.core.errors import AutokdError, UsageError
from autokd.store.files import DEFAULT_STORAGE

PROGRAM, VARIABLE = "autokd", "_AUTOKD_COMPLETE"

EXAMPLES = """\b
Examples:
  eval "$(autokd completion bash)"                                    # for this shell
  autokd completion bash >> ~/.bashrc                                 # for every new one
  autokd completion zsh >> ~/.zshrc
  autokd completion fish > ~/.config/fish/completions/autokd.fish
"""


@click.command(short_help="Print the script for completion in a shell.", epilog=EXAMPLES)
@click.argument("shell", type=Choice(["bash", "zsh", "fish"]), required=False)
@click.pass_context
def completion(context: click.Context, shell: str | None) -> None:
    """Print the script that completes commands, options and names of studies in a shell.

    Without a name it is for the shell that runs now.
    """
    chosen = shell or os.path.basename(os.environ.get("SHELL", ""))
    found = get_completion_class(chosen)
    if found is None:
        raise UsageError(f"completion is for bash, zsh or fish, but this shell is {chosen!r}; name one of them.")
    group = context.find_root().command
    click.echo(found(group, {}, PROGRAM, VARIABLE).source().strip())


def study_items(context: click.Context, parameter: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Names of the studies in the storage that the command line names so far; nothing where it cannot be read."""
    from autokd.store.transfer import study_names

    try:
        names = study_names(_storage(context))
    except AutokdError:
        return []
    return [CompletionItem(name) for name in names if name.startswith(incomplete)]


def space_items(context: click.Context, parameter: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Names of the spaces that ship with autokd; the shell completes files where none of them fits."""
    from autokd.space.library import shipped_spaces

    names = [path.stem for path in shipped_spaces() if path.stem.startswith(incomplete)]
    return [CompletionItem(name) for name in names] or [CompletionItem(incomplete, type="file")]


def _storage(context: click.Context | None) -> str:
    """The storage that was named for the command, or for the group before it."""
    while context is not None:
        named = context.params.get("storage")
        if named and named != DEFAULT_STORAGE:
            return str(named)
        context = context.parent
    return DEFAULT_STORAGE
