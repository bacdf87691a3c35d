"""Runs of a million equal characters through every pre-tokenizer of the pinned engine.

    python -m benchmarks.hostile [--only NAME ...] [--characters 1000000] [--results FILE] [--also-mixed]

Each pre-tokenizer has a tiny model and a child process of its own, and must make tokens of each run, or say
in one error why not. A row that the results file has already is not made again; delete the file to begin
anew. Pre-tokenizers that the engine treats as the same are one row, by the name that is first in its source.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import gguf
from tests.tiny import add_bytes, add_sentence_pieces, make_tiny

from samovar.engines.llama.counting import open_template
from samovar.errors import SamovarError
from samovar.generation import Message

# From `llama_vocab::impl::load` in `src/llama-vocab.cpp` of build b11549.
PRE_TOKENIZERS = (
    "default", "minicpm5", "llama3", "deepseek-llm", "deepseek-coder", "deepseek-v3", "spark2_5", "youtu",
    "falcon", "mpt", "starcoder", "gpt-2", "jais-2", "gemma4", "mmbert", "sarvam-moe", "refact",
    "command-r", "qwen2", "qwen35", "stablelm2", "olmo", "dbrx", "smaug-bpe", "poro-chat", "chatglm-bpe",
    "viking", "jais", "tekken", "smollm", "codeshell", "bloom", "gpt3-finnish", "exaone", "exaone-moe",
    "chameleon", "minerva-7b", "gpt-4o", "granite-embed-multi-97m", "tiny_aya", "superbpe", "trillion",
    "granite-docling", "bailingmoe", "seed-coder", "hunyuan", "hunyuan-dense", "hy_v4", "joyai-llm",
    "kimi-k2", "ufakzeka", "grok-2", "afmoe", "laguna", "minimax-m2", "solar-open", "mellum2", "k2-horizon",
)  # fmt: skip
RUNS = {
    "letters": "x",
    "digits": "7",
    "blanks": " ",
    "dots": ".",
    "newlines": "\n",
    "emoji": "😀",
}
MIXED = {
    "capitals": "X",
    "Chinese": "漢",
    "Arabic": "ع",
    "marks": "e\u0301",
    "only marks": "\u0301",
    "nul": "\0",
    "tabs": "\t",
    "line ends": "\r\n",
    "indents": "\n ",
    "words": "word ",
    "base64": "aB3/",
    "numbers": "1,",
    "apostrophes": "'s",
    "angles": "<",
    "control": "<|im_end|>",
}
ENDS = {"blanks": "7", "tabs": "7"}
"""What comes after a run: a number after blanks is what takes longest. Otherwise it is a word."""
MOST_S = 600
"""For one run; the table says which took longer, and that is a fault."""

Vocabulary = Callable[[gguf.GGUFWriter, int], int]


def _plain(model: str, tokens: Sequence[str], kinds: Sequence[int], *, has_scores: bool) -> Vocabulary:
    def add(writer: gguf.GGUFWriter, more: int) -> int:
        writer.add_tokenizer_model(model)
        writer.add_token_list(list(tokens))
        writer.add_token_types(list(kinds))
        if has_scores:
            writer.add_token_scores([-float(number) for number in range(len(tokens))])
        writer.add_bos_token_id(1)
        writer.add_eos_token_id(2)
        writer.add_unk_token_id(0)
        writer.add_add_bos_token(False)
        return len(tokens)

    return add


def _of_model(model: str) -> Vocabulary:
    """A small vocabulary of another of the engine's tokenizers."""
    kinds = gguf.TokenType
    special, letters = ["<unk>", "<s>", "</s>"], [*map(chr, range(33, 127)), "\u2581", "\u2581x", "xx"]
    types = [kinds.UNKNOWN, kinds.CONTROL, kinds.CONTROL]
    spelled = [f"<0x{byte:02X}>" for byte in range(256)]
    if model == "rwkv":
        letters = [chr(byte) if 32 < byte < 127 and byte != 92 else f"\\x{byte:02x}" for byte in range(256)]
        return _plain(model, [*special, *letters], [*types, *[kinds.NORMAL] * 256], has_scores=False)
    if model == "bert":
        special, spelled = ["[UNK]", "[CLS]", "[SEP]"], []
        letters += [f"\u2581{letter}" for letter in letters if letter not in ("x", "\u2581", "\u2581x")]
    types += [kinds.BYTE] * len(spelled) + [kinds.NORMAL] * len(letters)
    return _plain(model, [*special, *spelled, *letters], types, has_scores=True)


def _whole_words(model: str) -> Vocabulary:
    """As `add_bytes`, of a tokenizer model that merges pairs in its own way."""
    before = add_bytes()

    def add(writer: gguf.GGUFWriter, more: int) -> int:
        size = before(writer, more)
        values = writer.kv_data[0]
        values["tokenizer.ggml.model"].value = model
        values["tokenizer.ggml.pre"].value = "whitespace" if model == "whitespace" else "default"
        return size

    return add


MODELS = {
    "SentencePiece": add_sentence_pieces(),
    "WordPiece": _of_model("bert"),
    "Unigram": _of_model("t5"),
    "RWKV": _of_model("rwkv"),
    "PLaMo 2": _of_model("plamo2"),
    "PLaMo 3": _of_model("plamo3"),
    "Gemma 4": _whole_words("gemma4"),
    "whitespace": _whole_words("whitespace"),
    "hybriddna": _whole_words("hybriddna"),
}
"""The tokenizers that do not ask for a pre-tokenizer, or have one of their own."""


def model_of(name: str, folder: Path) -> Path:
    """A tiny model with that pre-tokenizer, or that tokenizer."""

    def amend(writer: gguf.GGUFWriter) -> None:
        if name in PRE_TOKENIZERS:
            writer.kv_data[0]["tokenizer.ggml.pre"].value = name

    return make_tiny(folder / f"{name.replace(' ', '-')}.gguf", vocabulary=MODELS.get(name), amend=amend)


def run_here(path: Path, run: str, characters: int) -> tuple[float, str]:
    """Seconds, and what came of it: in the child process."""
    text = ({**RUNS, **MIXED}[run] * characters)[:characters] + ENDS.get(run, " end")
    started = time.perf_counter()
    try:
        with open_template(path) as template:
            said = f"{len(template.tokens([Message(role='user', content=text)]))} tokens"
    except SamovarError as error:
        said = f"error: {error}"
    return time.perf_counter() - started, said


def in_a_child(path: Path, run: str, characters: int) -> tuple[float, str]:
    command = [sys.executable, "-m", "benchmarks.hostile", "--child", str(path), run]
    command += ["--characters", str(characters)]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=MOST_S)
    except subprocess.TimeoutExpired:
        return float(MOST_S), f"FAULT: not done after {MOST_S} s"
    if done.returncode:
        return 0.0, f"FAULT: exit status {done.returncode} {done.stderr.strip()[-200:]}"
    taken_s, said = json.loads(done.stdout)
    return taken_s, said


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.hostile", description=__doc__)
    parser.add_argument("--only", nargs="+", metavar="NAME", choices=[*PRE_TOKENIZERS, *MODELS])
    parser.add_argument("--characters", type=int, default=1_000_000)
    parser.add_argument("--also-mixed", action="store_true", help="further kinds of runs")
    parser.add_argument("--results", type=Path, help="where rows are kept, so that it can go on later")
    parser.add_argument("--child", nargs=2, metavar=("MODEL", "RUN"), help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    if options.child:
        print(json.dumps(run_here(Path(options.child[0]), options.child[1], options.characters)))
        return 0
    runs = [*RUNS, *(MIXED if options.also_mixed else ())]
    known: dict[str, list[object]] = {}
    if options.results and options.results.exists():
        known = json.loads(options.results.read_text())
    faults = 0
    print(f"{'':24}" + "".join(f"{run:>13}" for run in runs) + "   seconds")
    with tempfile.TemporaryDirectory() as folder:
        for name in options.only or [*PRE_TOKENIZERS, *MODELS]:
            path = model_of(name, Path(folder))
            row, said_all = [], []
            for run in runs:
                key = f"{name} {run} {options.characters}"
                if key not in known:
                    known[key] = list(in_a_child(path, run, options.characters))
                    if options.results:
                        options.results.write_text(json.dumps(known))
                taken_s, said = known[key]
                is_fault = str(said).startswith("FAULT")
                faults += is_fault
                row.append("FAULT" if is_fault else f"{taken_s:.1f}")
                if not str(said).endswith(" tokens"):
                    said_all.append(f"    {run}: {said}")
            print(f"{name:24}" + "".join(f"{cell:>13}" for cell in row), flush=True)
            for line in said_all:
                print(line, flush=True)
            path.unlink()
    print(f"{faults} faults")
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
