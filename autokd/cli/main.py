"""The group of commands, and how errors become exit codes."""

from __future__ import annotations

import sys
import traceback
from collections.abc import Sequence

import click

from autokd import __version__
from autokd.cli.catalogue import check, methods
from autokd.cli.output import say
from autokd.cli.search import resume, search
from autokd.cli.studies import report, studies
from autokd.cli.train import train
from autokd.core.errors import AutokdError

EXAMPLES = """\b
Examples:
  autokd search --dataset pydocs --budget 10cpu-min
  autokd search --dataset mine.csv --label-column topic --budget 8gpu-h
  autokd studies
  autokd report STUDY --output report.html

With --debug, any command shows the traceback of an error.
"""


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110}, epilog=EXAMPLES)
@click.version_option(__version__, prog_name="autokd")
def cli() -> None:
    """Search for the best small text classifiers that a large one can teach, within a budget."""


for command in (search, resume, studies, report, train, methods, check):
    cli.add_command(command)


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line and exit: 0, 1 for an error while running, 2 for one of usage."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    # Accepted anywhere, since the moment one wants it is after the command was typed.
    debug = "--debug" in given
    try:
        cli.main([word for word in given if word != "--debug"], prog_name="autokd", standalone_mode=False)
    except click.exceptions.Exit as exit_:
        sys.exit(exit_.exit_code)
    except click.ClickException as error:
        error.show()
        sys.exit(2)
    except (KeyboardInterrupt, click.Abort):
        say("Interrupted.")
        sys.exit(1)
    except BrokenPipeError:
        sys.stderr.close()  # the reader of our output went away; there is nobody to tell
        sys.exit(1)
    except Exception as error:
        if debug:
            traceback.print_exc()
        sys.exit(_told(error))
    sys.exit(0)


def _told(error: Exception) -> int:
    """Print an error as one line; its exit code."""
    if isinstance(error, AutokdError):
        say(f"autokd: {error}")
        return error.exit_code
    say(f"autokd: {type(error).__name__}: {error} (--debug shows where)")
    return 1
