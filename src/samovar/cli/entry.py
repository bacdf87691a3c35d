"""The `samovar` program: runs a command, and turns an error into one message and an exit status.

Above: the person. Below: the commands of `__init__.py`.
"""

from __future__ import annotations

import gc
import io
import os
import signal
import sys
from typing import Any, NoReturn

# Imports leave hundreds of thousands of objects behind, all in use: looking through them for garbage each 700
# new ones takes a quarter of the start.
gc.set_threshold(50_000, 20, 100)

from samovar.cli import app  # noqa: E402  # what it imports counts


def main(arguments: list[str] | None = None) -> NoReturn:
    """The `samovar` command. Errors become one message on standard error and an exit status."""
    from samovar.cli.showing import shown
    from samovar.cli.terminal import say
    from samovar.errors import SamovarError

    status: Any = 0
    _prepare_streams()
    try:
        if signal.getsignal(signal.SIGINT) is not signal.SIG_IGN:
            signal.signal(signal.SIGINT, signal.default_int_handler)
        app(arguments, standalone_mode=True)
        sys.stdout.flush()
    except SystemExit as ended:  # how the command line says that it is done
        status = ended.code
        sys.stdout.flush()
    except SamovarError as error:
        say(f"samovar: {shown(str(error))}")
        status = error.exit_status
    except KeyboardInterrupt:
        status = 130
    except RuntimeError as error:
        if not _is_interrupt(error):
            raise
        status = 130
    except BrokenPipeError:
        # Anyone who read our output has gone, which is theirs to decide. Python must not flush to it again.
        sys.stdout = None
        status = 141
    except OSError as error:
        if error.filename is not None:
            say(f"samovar: {error.filename} cannot be used: {error.strerror}.")
        else:
            # Nothing that was asked for can be written, as on a full disk.
            sys.stdout = None
            say(f"samovar: the output could not be written: {error.strerror}.")
        status = 1
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # all is said, and nothing is left to stop
    if "mermaidx" not in sys.modules:  # which prints what it finds not collected
        gc.freeze()  # everything ends with the process: the interpreter need not look for garbage once more
    sys.exit(status)


def _is_interrupt(error: BaseException | None) -> bool:
    """Whether it came of Ctrl-C: Python before 3.12 wraps what stops the making of a class in an error."""
    while error is not None and not isinstance(error, KeyboardInterrupt):
        error = error.__cause__
    return error is not None


def _prepare_streams() -> None:
    """What a person has closed swallows all; what an encoding does not have is written as an escape.

    What cannot be written to standard error is lost, and nothing else: the answer is on standard output.
    """
    if sys.stdin is None:
        sys.stdin = open(os.devnull, encoding="utf-8")  # noqa: SIM115
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, "w", encoding="utf-8"))  # noqa: SIM115
        stream = getattr(sys, name)
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    if isinstance(sys.stderr, io.TextIOWrapper) and sys.stderr.fileno() == 2:
        sys.stderr = io.TextIOWrapper(
            io.BufferedWriter(_Remarks(2, "w", closefd=False)),
            encoding=sys.stderr.encoding,
            errors="backslashreplace",
            line_buffering=True,
        )


class _Remarks(io.FileIO):
    """Standard error: what a full disk or a reader who has gone does not take is dropped."""

    def write(self, data: Any, /) -> int:
        try:
            return super().write(data)
        except OSError:
            return memoryview(data).nbytes
