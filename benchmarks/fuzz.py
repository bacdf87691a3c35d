"""Mutated workflow files through `check`: no traceback, none slow.

    python -m benchmarks.fuzz [--count 100000] [--seed 0]

Bytes are flipped, cut, doubled and moved; pieces of other files and of the language's own syntax are put in.
A file that fails is written to the folder where it was run. Below: `tests/corpus`, `examples/`.
"""

from __future__ import annotations

import argparse
import random
import sys
import tempfile
import time
import warnings
from pathlib import Path

from samovar.actions import parse_action
from samovar.cli.checking import faults_of
from samovar.config import load_settings
from samovar.library import Library
from samovar.memory import in_words, peak_bytes

ROOT = Path(__file__).parent.parent
SLOW_S = 1.0
PIECES = (
    b"---\n",
    b"```mermaid\n",
    b"```\n",
    b"## Actions\n",
    b"## Prompts\n",
    b"### x\n",
    b"- A: ",
    b"-->",
    b"[*]",
    b"{{",
    b"}}",
    b"{%",
    b"%}",
    b"${",
    b"}",
    b'"',
    b"'",
    b"\\",
    b"`",
    b"\x00",
    b"\xff",
    b"\xef\xbb\xbf",
    b"\r\n",
    b"<<fork>>",
    b"<<join>>",
    b"state ",
    b"state X {\n",
    b"{",
    b"--\n",
    b"note left of A\n",
    b"end note\n",
    b"accDescr {",
    b":::",
    b"direction TB\n",
    b"class A hot\n",
    b'state "x" as ',
    b"; ",
    b"//",
    b": ",
    b" with ",
    b" using ",
    b'choices="a|b"',
    b"&a [*a]",
    b"*" * 50,
    b"[" * 200,
    b"(" * 200,
    b"- " * 100,
    b"> " * 100,
    b"9" * 400,
    b"{% for i in (1..100000000) %}",
    b"x.matches('(a+)+$')",
    b"!!python/object:os.system",
    "𝔘\u202e\u0000".encode(),
    b"%%{init}%%",
    b"|",
    b"<",
    b"&",
)


def sources() -> list[bytes]:
    """The files that are mutated."""
    folders = (ROOT / "tests" / "corpus" / ".swissarmyhammer", ROOT / "examples")
    return [
        path.read_bytes()
        for folder in folders
        for path in sorted(folder.rglob("*"))
        if path.suffix in (".md", ".mermaid")
    ]


def mutate(data: bytes, others: list[bytes], chance: random.Random) -> bytes:
    """Some changes, each at a random place."""
    text = bytearray(data)
    for _ in range(chance.choice((1, 1, 2, 4, 16))):
        at = chance.randint(0, len(text))
        end = min(len(text), at + chance.choice((1, 3, 20, 200)))
        kind = chance.randint(0, 5)
        if kind == 0 and text:
            text[min(at, len(text) - 1)] ^= 1 << chance.randint(0, 7)
        elif kind == 1:
            del text[at:end]
        elif kind == 2:
            text[at:at] = text[at:end] * chance.choice((1, 2, 50))
        elif kind == 3:
            text[at:at] = chance.choice(PIECES)
        elif kind == 4:
            text[at:end] = chance.choice(PIECES)
        else:
            other = chance.choice(others)
            start = chance.randint(0, len(other))
            text[at:at] = other[start : start + 200]
    return bytes(text)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--count", type=int, default=100_000)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    warnings.simplefilter("error")  # a warning of the interpreter would be on a person's screen
    chance, originals = random.Random(arguments.seed), sources()
    library, settings = Library([], parse_action), load_settings({})
    slowest_s, read, failures = 0.0, 0, 0
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "w.md"
        for number in range(1, arguments.count + 1):
            data = mutate(chance.choice(originals), originals, chance)
            path.write_bytes(data)
            began_s = time.perf_counter()
            try:
                read += not any(fault.severity == "error" for fault in faults_of(path, library, settings))
            except Exception as error:  # that is what is looked for
                failures += 1
                Path(f"fuzz-{number}.md").write_bytes(data)
                print(f"fuzz-{number}.md: {type(error).__name__}: {error}"[:300], flush=True)
            took_s = time.perf_counter() - began_s
            slowest_s = max(slowest_s, took_s)
            if took_s > SLOW_S:
                failures += 1
                Path(f"slow-{number}.md").write_bytes(data)
                print(f"slow-{number}.md: {took_s:.1f} s", flush=True)
    print(
        f"{arguments.count} files, {read} of them valid; {failures} failures; "
        f"slowest {slowest_s * 1000:.0f} ms; peak memory {in_words(peak_bytes())}"
    )
    sys.exit(1 if failures else 0)


if __name__ == "__main__":
    main()
