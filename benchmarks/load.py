"""Where the seconds of a load go, by direct calls and in a run: `python -m benchmarks.load`.

    python -m benchmarks.load [--rounds 7] [--out FOLDER]

Each round is a process of its own. The first table times the parts of a load one after the other; the last
lines are the load as a run does it, in which the interpreter's parts go on beside the engine's. Above:
nothing. Below: the engine.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import anyio

from benchmarks.results import save, spread
from benchmarks.rounds import default_model, machine

Parts = dict[str, float]
"""Seconds by part."""


@contextmanager
def timed(parts: Parts, name: str) -> Iterator[None]:
    began = time.perf_counter()
    yield
    parts[name] = time.perf_counter() - began


def parts_of_a_load() -> Parts:
    """One after the other, by direct calls."""
    parts: Parts = {}
    path = default_model()
    with timed(parts, "importing the engine's half"):
        from samovar.engines.base import ModelSpec
        from samovar.engines.llama.binding import open_binding
        from samovar.engines.llama.chat import ChatTemplate
        from samovar.engines.llama.context import make_context
        from samovar.engines.llama.vocabulary import Vocabulary
        from samovar.generation import Message
        from samovar.models.cost import predict
        from samovar.models.fitting import DEFAULT_CONTEXT_TOKENS
        from samovar.models.header import read_header
        from samovar.models.snapshot_file import fingerprint
        from samovar.models.tuning import table
    with timed(parts, "opening the shared object"):
        binding = open_binding()
        binding.begin_use()
    with timed(parts, "reading and checking the header"):
        header = read_header(path)
    params = binding.lib.llama_model_default_params()
    params.n_gpu_layers = 0
    with timed(parts, "llama_model_load_from_file, with the vocabulary"):
        weights = binding.lib.llama_model_load_from_file(str(path).encode(), params)
    with timed(parts, "finding control tokens"):
        vocabulary = Vocabulary(binding, weights)
    with timed(parts, "importing Jinja"):
        import samovar.engines.llama.dialect  # noqa: F401
    with timed(parts, "compiling the chat template"):
        template = ChatTemplate.of(binding, weights, vocabulary)
    with timed(parts, "the fingerprint of the weights"):
        fingerprint(path, kv_type="f16", build="")
    tuning = table("cpu", "f16")
    cost = predict(header, context_tokens=DEFAULT_CONTEXT_TOKENS, tuning=tuning)
    spec = ModelSpec(reference="", path=path)
    with timed(parts, "making the context, whose cells are cleared"):
        context = make_context(binding, weights, spec, cost, tuning)
    with timed(parts, "the first tokens"):
        template.tokens([Message(role="user", content="Hello.")])
    with timed(parts, "giving everything back"):
        context.close()
        binding.tokenizing.close()
        binding.lib.llama_model_free(weights)
        binding.end_use()
    return {**parts, "all parts but giving back": sum(parts.values()) - parts["giving everything back"]}


def as_in_a_run() -> Parts:
    """The engine's load, with the object opened before and without."""

    async def main() -> Parts:
        from samovar.engines.base import ModelSpec
        from samovar.engines.llama.engine import LlamaEngine
        from samovar.models.snapshots import Snapshots

        parts: Parts = {}
        with tempfile.TemporaryDirectory() as folder:
            snapshots = Snapshots(Path(folder), 1 << 30)
            engine = LlamaEngine(snapshots)
            spec = ModelSpec(reference="", path=default_model())
            for name in ("a load in a run, with the header and the object", "the next load in the process"):
                with timed(parts, name):
                    model = await engine.load(spec, engine.predict(spec), lambda fraction: None)
                await model.close()
            engine.close()
            snapshots.close()
        return parts

    return anyio.run(main)


WAYS = {"parts": parts_of_a_load, "run": as_in_a_run}


def one_round(way: str) -> Parts:
    command = [sys.executable, "-m", "benchmarks.load", "--one", way]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    parts: Parts = json.loads(done.stdout.splitlines()[-1])
    return parts


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=7, help="of each kind, in turn")
    parser.add_argument("--out", type=Path, metavar="FOLDER", help="write load.json there")
    parser.add_argument("--one", choices=list(WAYS), help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.one:
        print(json.dumps(WAYS[arguments.one]()))
        return
    rounds = [one_round("parts") | one_round("run") for _ in range(arguments.rounds)]
    rows = [(name, f"{spread([1000 * one[name] for one in rounds])} ms") for name in rounds[0]]
    print(f"A load, {arguments.rounds} rounds")
    for what, figure in rows:
        print(f"  {what:<52} {figure}")
    if arguments.out is not None:
        save(arguments.out, "load", {**machine(), "rounds": arguments.rounds, "rows": rows})


if __name__ == "__main__":
    main()
