"""The application: which commands there are, what `pba --help` says, and how a failure looks.

Nothing here or at the top of a command's file imports NumPy, Numba, pandas, Matplotlib or Optuna: a command
imports what it needs when it runs, so that help and completion answer at once.
"""

from __future__ import annotations

import errno
import io
import os
import sys
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path
from typing import Annotated, Any

import typer

from pba._version import __version__
from pba.errors import EXIT_STATUS, PbaError
from pba.printable import LONGEST_MESSAGE, printable
from pba.progress import keep_quiet

EXIT_INTERRUPTED = 130
"""What a shell reports for a command that was ended by Ctrl-C."""
EXIT_BROKEN_PIPE = 141
"""And for one whose reader went away (`pba info x | head -1`)."""

ANSWER = "The answer: which thresholds, at what cost"
TRACES = "Traces: what happened on a machine"
HOUSE = "This installation"

COMMANDS: tuple[tuple[str, str, str], ...] = (
    ("tune", "tune", ANSWER),
    ("sweep", "sweep", ANSWER),
    ("report", "report", ANSWER),
    ("study", "study", ANSWER),
    ("replay", "replay", ANSWER),
    ("compare", "compare", ANSWER),
    ("floor", "floor", ANSWER),
    ("cost", "cost", ANSWER),
    ("answer", "long_runs", ANSWER),
    ("policies", "policies", ANSWER),
    ("info", "info", TRACES),
    ("plot", "plot", TRACES),
    ("record", "record", TRACES),
    ("import", "import_", TRACES),
    ("trace", "trace", TRACES),
    ("generate", "generate", TRACES),
    ("data", "data", TRACES),
    ("cache", "cache", HOUSE),
)
"""Name of the command, its file in `pba.cli` and its function there (or Typer, where it has commands of its
own) of the same name, and the group in which `--help` shows it."""

EPILOG = """[bold]Examples[/bold]

  pba tune                        search thresholds on the recordings of pba
  pba sweep                       every point of a grid of thresholds, exactly
  pba compare                     policies side by side: does tracking blocks help?
  pba report runs/quickstart      write HTML, Markdown and text about a search
  pba record -o x.parquet -- make record the page tables of a build (as root)
  pba info x.parquet              what is in it, and how far to trust it
  pba replay x.parquet --batch 256
                                  what the allocator would have done with it

More about each command: pba COMMAND --help
"""

app = typer.Typer(
    name="pba",
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
    epilog=EPILOG,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _print_version(wanted: bool) -> None:
    """Print the version and leave, where `--version` is given."""
    if wanted:
        print(f"pba {__version__}")
        raise typer.Exit


@app.callback()
def pba(
    _version: Annotated[
        bool,
        typer.Option("--version", help="Print the version and exit.", callback=_print_version, is_eager=True),
    ] = False,
    quiet: Annotated[
        bool, typer.Option("--quiet", "-q", help="Say nothing of progress: pba -q tune prints results alone.")
    ] = False,
) -> None:
    """Find thresholds for the kernel's page-table block allocator, and what they cost.

    pba replays recordings of page-table allocations through an exact simulation
    of the block allocator and its shrinker (kpkeys_hardened_pgtables v6, patches
    14 and 17), and searches the thresholds of the shrinker.
    """
    keep_quiet(quiet)


def _register() -> None:
    """Add every command of `COMMANDS` to the application."""
    for name, module, panel in COMMANDS:
        function = getattr(import_module(f"pba.cli.{module}"), module)
        if isinstance(function, typer.Typer):
            app.add_typer(function, name=name, rich_help_panel=panel)
        else:
            app.command(name, rich_help_panel=panel)(function)


_register()


def _commands() -> Any:
    """Return the command of `app` with all below it, whose help says of a flag what it does, not that it is a bool."""
    from typer.main import get_command

    def told_plainly(command: Any, above: Any = None) -> None:
        context = command.context_class(command, parent=above, **command.context_settings)
        for parameter in command.get_params(context):
            if getattr(parameter, "is_flag", False):
                parameter.metavar = ""
            if parameter.param_type_name == "argument":  # its name says what it is; "<list[str]>" does not
                parameter.display_type_rich = lambda ctx=None: None
        for below in getattr(command, "commands", {}).values():
            told_plainly(below, context)

    command = get_command(app)
    told_plainly(command)
    return command


def run(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return the exit status.

    A `PbaError` and a wrong use of the command line end in one line on standard error and status 2. Any
    other exception is a bug of pba and keeps its traceback.
    """
    given = sys.argv[1:] if arguments is None else list(arguments)
    _prepare_output()
    try:
        status = _commands()(args=given or ["--help"], prog_name="pba", standalone_mode=False)
        sys.stdout.flush()
    except PbaError as error:
        return _fail(error.for_command_line())
    except (KeyboardInterrupt, typer.Abort):
        return EXIT_INTERRUPTED
    except BrokenPipeError:
        return _forget_output(EXIT_BROKEN_PIPE)
    except SystemExit as leaving:  # where Typer itself meets the broken pipe, it leaves with status 1
        if isinstance(leaving.__context__, BrokenPipeError):
            return _forget_output(EXIT_BROKEN_PIPE)
        raise
    except RuntimeError as error:
        if "start new thread" not in str(error):
            raise
        return _fail(
            "no more threads can be started here (use fewer --workers, or raise the limit: ulimit -u)"
        )
    except MemoryError:
        return _fail("there is not enough memory for this (take a smaller machine or trace)")
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT):
            raise
        _forget_output(EXIT_STATUS)
        return _fail(f"cannot write {error.filename or 'the output'}: {error.strerror} (free some space)")
    except Exception as error:
        return _fail(_usage_message(error))
    return status if isinstance(status, int) else 0


def _prepare_output() -> None:
    """Have somewhere to write to (also after `>&-`), and write what cannot be encoded with backslashes.

    A file's name, which is a trace's name, need not be valid UTF-8.
    """
    if sys.stdout is None:
        sys.stdout = Path(os.devnull).open("w", encoding="utf-8")  # noqa: SIM115, for the process's life
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")


def _usage_message(error: Exception) -> str:
    """Return what is wrong with the command line; raise anything else.

    Typer's own exceptions for that live in a private module, or in click for older versions; all of them
    have `format_message`.
    """
    describe: Any = getattr(error, "format_message", None)
    if describe is None:
        raise error
    message = " ".join(str(describe()).split()).rstrip(".")
    context: Any = getattr(error, "ctx", None)
    command = context.command_path if context is not None else "pba"
    return f"{message} (see {command} --help)"


def _fail(message: str) -> int:
    """Print one line to standard error and return the status of a failure."""
    print(f"pba: {printable(message, LONGEST_MESSAGE)}", file=sys.stderr)
    return EXIT_STATUS


def _forget_output(status: int) -> int:
    """Send what is still buffered nowhere, so that Python's exit does not complain of it again."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, sys.stdout.fileno())
    os.close(nowhere)
    return status
