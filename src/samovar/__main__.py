"""The program: `samovar`, and `python -m samovar`.

Above: the person. Below: `cli/entry.py`, which takes a tenth of a second to import.
"""

from __future__ import annotations

import os
import signal

TYPE_CHECKING = False  # `typing` takes milliseconds, in which an interrupt would be a traceback
if TYPE_CHECKING:
    from typing import NoReturn


def main() -> NoReturn:
    """The `samovar` command. An interrupt ends it quietly while there is nothing to give back yet."""
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, lambda number, frame: os._exit(128 + number))
    from samovar.cli.entry import main

    main()


if __name__ == "__main__":
    main()
