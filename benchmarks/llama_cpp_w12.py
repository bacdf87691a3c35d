"""W12 by llama-cpp-python, in an interpreter of its own: the work as JSON on standard input, figures out.

Above: `llama_cpp_python.py`, which says in which interpreter. Below: llama-cpp-python alone; Samovar is not
imported. One `Llama` is kept and asked in turn. What each second goes to is counted around its own calls.
"""

import time

STARTED_S = time.time()

import json  # noqa: E402
import os  # noqa: E402
import sys  # noqa: E402
from collections import defaultdict  # noqa: E402
from collections.abc import Callable  # noqa: E402
from typing import Any  # noqa: E402

work = json.load(sys.stdin)
began = time.perf_counter()
import llama_cpp  # noqa: E402
from llama_cpp import _internals  # noqa: E402

stages: dict[str, float] = defaultdict(float)
stages["imports"] = time.perf_counter() - began
calls: dict[str, int] = defaultdict(int)


def counted(owner: Any, name: str, stage_of: Callable[..., str]) -> None:
    """From now on the method's seconds go to a stage."""
    original = getattr(owner, name)

    def replacement(self: Any, *arguments: Any, **named: Any) -> Any:
        stage = stage_of(*arguments)
        began = time.perf_counter()
        try:
            return original(self, *arguments, **named)
        finally:
            stages[stage] += time.perf_counter() - began
            calls[stage] += 1

    setattr(owner, name, replacement)


began = time.perf_counter()
llama = llama_cpp.Llama(
    work["model"],
    n_ctx=work["cells"],
    n_threads=work["threads"],
    n_threads_batch=work["threads"],
    verbose=False,
)
stages["load"] = time.perf_counter() - began
counted(llama_cpp.Llama, "tokenize", lambda *_: "tokenizing")
counted(llama_cpp.Llama, "sample", lambda *_: "sampling")
counted(
    _internals.LlamaContext,
    "decode",
    lambda batch: "decoding" if batch.n_tokens() == 1 else "evaluating",
)


def ask(system: str, said: str, most: int) -> Any:
    messages = [{"role": "system", "content": system}, {"role": "user", "content": said}]
    return llama.create_chat_completion(messages, max_tokens=most, temperature=0)


if work["warm_up"]:
    ask(work["warm_up"][0], work["warm_up"][1], 1)
    for counts in (stages, calls):
        for name in ("tokenizing", "sampling", "decoding", "evaluating"):
            counts.pop(name, None)
wall_s, cpu_s = time.perf_counter(), time.process_time()
replies = [ask(work["system"], said, work["max_tokens"]) for said in work["questions"]]
wall_s, cpu_s = time.perf_counter() - wall_s, time.process_time() - cpu_s
began = time.perf_counter()
llama.close()
stages["closing"] = time.perf_counter() - began
figures = {
    "wall_s": wall_s,
    "cpu_s": cpu_s,
    "evaluated_tokens": None,
    "generated_tokens": sum(reply["usage"]["completion_tokens"] for reply in replies),
    "answers": [reply["choices"][0]["message"]["content"] for reply in replies],
    "evaluate_s": stages["evaluating"],
    "decode_s": stages["decoding"],
    "decode_tokens": calls["decoding"],
}
print(json.dumps({"figures": figures, "stages": stages, "started_s": STARTED_S, "ended_s": time.time()}))
sys.stdout.flush()
os._exit(0)  # its destructors do not always end in order
