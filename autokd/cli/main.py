"""The group of commands, and how errors become exit codes."""

from __future__ import annotations

import sys
import traceback
from collections.abc import Sequence

import click

from autokd import __version__
from autokd.cli.catalogue import check, methods
from autokd.cli.completion import completion
from autokd.cli.convert import convert
from autokd.cli.doctor import doctor
from autokd.cli.evaluate import evaluate
from autokd.cli.export import export
from autokd.cli.output import say
from autokd.cli.passwords import hide_password
from autokd.cli.predict import predict
from autokd.cli.search import resume, search
from autokd.cli.steer import budget, enqueue
from autokd.cli.studies import report, studies
from autokd.cli.suggest import usage_line
from autokd.cli.supernet import supernet
from autokd.cli.train import train
from autokd.core.disk import refusal
from autokd.core.errors import AutokdError

EXAMPLES = """\b
Examples:
  autokd search --dataset pydocs --budget 10cpu-min
  autokd search --dataset mine.csv --label-column topic --budget 8gpu-h
  autokd report STUDY --output report.html
  autokd export STUDY --format onnx-int8 --output my-student
  autokd predict my-student --input texts.csv --output labels.csv
  autokd doctor

With --debug, any command shows the traceback of an error.
"""


# In the order of the help: searching, its studies, its students, and what there is to know.
GROUPS: dict[str, tuple[click.Command, ...]] = {
    "Search": (search, resume, enqueue, budget),
    "Studies": (studies, report),
    "Models": (export, evaluate, predict, train, supernet, convert),
    "What there is": (methods, check, doctor, completion),
}


class _Grouped(click.Group):
    """Lists its commands under headings."""

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        width = max(map(len, self.commands))
        for heading, commands in GROUPS.items():
            rows = [(str(each.name).ljust(width), each.get_short_help_str(formatter.width - 8)) for each in commands]
            with formatter.section(heading):
                formatter.write_dl(rows)


@click.group(
    cls=_Grouped,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110},
    epilog=EXAMPLES,
)
@click.version_option(__version__, prog_name="autokd")
def cli() -> None:
    """Search for the best small text classifiers that a large one can teach, within a budget."""


for commands in GROUPS.values():
    for command in commands:
        cli.add_command(command)


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line and exit: 0, 1 for an error while running, 2 for one of usage."""
    if arguments is None:
        hide_password()
    given = list(sys.argv[1:] if arguments is None else arguments)
    # Accepted anywhere, since the moment one wants it is after the command was typed.
    debug = "--debug" in given
    try:
        # In this mode click returns what a command returns (nothing), or the code that it exits with.
        code = cli.main([word for word in given if word != "--debug"], prog_name="autokd", standalone_mode=False)
    except click.exceptions.NoArgsIsHelpError as error:
        error.show()
        sys.exit(2)
    except click.ClickException as error:
        say(f"autokd: {usage_line(error)}")
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
    sys.exit(code if isinstance(code, int) else 0)


def _told(error: Exception) -> int:
    """Print an error as one line; its exit code."""
    if isinstance(error, AutokdError):
        say(f"autokd: {error}")
        return error.exit_code
    if isinstance(error, OSError) and error.strerror:
        say(f"autokd: {refusal(error)}")
    else:
        say(f"autokd: {type(error).__name__}: {error} (--debug shows where)")
    return 1
