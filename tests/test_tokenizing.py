"""Text becomes tokens on one thread with a large stack: no line of a prompt ends the process."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Sequence
from pathlib import Path

import gguf
import pytest

from samovar.engines.llama.chat import PromptTokens
from samovar.engines.llama.tokenizing import SHALLOW_CHARACTERS, TokenizingThread, longest_match
from samovar.errors import EngineError
from samovar.generation import Message, Options
from tests.on_tiny import loaded
from tests.test_llama import answer
from tests.tiny import make_tiny

SMALLEST_BYTES = 1 << 24
FAMILIES = (
    "default", "falcon", "tekken", "gpt-4o", "deepseek-llm", "deepseek-v3", "seed-coder", "minicpm5",
    "bloom", "exaone-moe", "superbpe", "jais-2",
)  # fmt: skip
"""Pre-tokenizers of llama.cpp that use a recursive regular expression: one of each kind, and two of cuts."""


def with_pre_tokenizer(path: Path, name: str) -> Path:
    def amend(writer: gguf.GGUFWriter) -> None:
        writer.kv_data[0]["tokenizer.ggml.pre"].value = name

    return make_tiny(path, amend=amend)


def child(code: str, *arguments: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", code, *map(str, arguments)], capture_output=True, text=True, timeout=120
    )


# What would overflow a usual stack ---------------------------------------------------------------------

COUNT = """
import sys
from pathlib import Path
from samovar.engines.llama.counting import open_template
from samovar.generation import Message

folder, names, texts, length = Path(sys.argv[1]), sys.argv[2].split(), sys.argv[3:-1], int(sys.argv[-1])
for name in names:
    with open_template(folder / f"{name}.gguf") as template:
        for text in texts:
            print(name, repr(text), flush=True)
            run = (text * length)[:length]
            template.tokens([Message(role="user", content=run + " end")])
"""


@pytest.mark.slow
def test_a_long_run_of_any_kind_of_character_does_not_end_the_process(tmp_path: Path) -> None:
    for name in FAMILIES:
        with_pre_tokenizer(tmp_path / f"{name}.gguf", name)
    runs = ("x", "7", " ", ".", "\n", "word ", "aB3/")
    done = child(COUNT, tmp_path, " ".join(FAMILIES), *runs, "40000")
    assert done.returncode == 0, (done.stdout.splitlines()[-1:], done.stderr)
    assert len(done.stdout.splitlines()) == len(runs) * len(FAMILIES)


@pytest.mark.slow
def test_a_million_equal_characters_become_tokens(tmp_path: Path) -> None:
    with_pre_tokenizer(tmp_path / "tekken.gguf", "tekken")
    done = child(COUNT, tmp_path, "tekken", ".", "1000000")
    assert done.returncode == 0, (done.stdout.splitlines()[-1:], done.stderr)


SHORT = """
import os, resource, sys
from pathlib import Path
from samovar.engines.llama.tokenizing import TokenizingThread
from samovar.errors import EngineError

thread = TokenizingThread()
thread.run(int, 0)  # what this imports takes no room from the thread
thread.close()
taken = int(Path("/proc/self/statm").read_text().split()[0]) * os.sysconf("SC_PAGE_SIZE")
resource.setrlimit(resource.RLIMIT_AS, (taken + int(sys.argv[1]), resource.RLIM_INFINITY))
for characters in (0, 1_000_000):
    try:
        print(thread.run(lambda: "done", characters))
    except EngineError as error:
        print(error)
thread.close()
"""


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux keeps to such a limit")
def test_with_less_address_space_the_stack_is_smaller_and_what_it_allows_is_said() -> None:
    done = child(SHORT, str(SMALLEST_BYTES + (4 << 20)))
    assert done.returncode == 0, done.stderr
    first, second = done.stdout.splitlines()
    assert first == "done"
    assert "1000000 characters" in second and "at most 32256" in second and "16.8 MB of stack" in second


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux keeps to such a limit")
def test_without_room_for_a_thread_that_is_said() -> None:
    done = child(SHORT, str(4 << 20))
    assert done.returncode == 0, done.stderr
    assert all("refused a thread" in line for line in done.stdout.splitlines())


@pytest.mark.parametrize(
    ("text", "longest"),
    [
        ("x" * 50_000, 50_000),
        ("word " * 10_000, 50_000),
        ("\n" * 50_000, 50_000),
        (".\n" * 25_000, 2),
        ("/\n" * 25_000, 50_000),
        ("a line\n" * 10_000, 7),
        ("a line\r\n\r\n" * 10_000, 10),
        ("short\n" + "-" * 30_000 + "\nshort\n" + "-" * 40_000, 40_000),
    ],
)
def test_a_match_ends_at_the_latest_where_a_line_with_text_begins(text: str, longest: int) -> None:
    assert longest_match(text) == longest


def test_a_text_that_is_short_in_all_is_not_looked_at() -> None:
    assert longest_match("a\n" * 10) == 20


# The thread --------------------------------------------------------------------------------------------


def test_it_is_started_when_it_is_needed_and_the_stack_of_other_threads_stays_as_it_was() -> None:
    before = threading.stack_size()
    tokenizing = TokenizingThread((SMALLEST_BYTES,))
    thread = tokenizing.run(threading.current_thread, 1)
    assert thread is tokenizing.run(threading.current_thread, 1) is not threading.current_thread()
    assert threading.stack_size() == before
    tokenizing.close()
    tokenizing.close()
    assert not thread.is_alive()
    assert tokenizing.run(lambda: "started again", 1) == "started again"
    tokenizing.close()


def test_what_the_work_raises_is_raised() -> None:
    tokenizing = TokenizingThread((SMALLEST_BYTES,))
    with pytest.raises(ZeroDivisionError):
        tokenizing.run(lambda: 1 // 0, 1)
    assert tokenizing.run(lambda: "goes on", 1) == "goes on"
    tokenizing.close()


def test_a_match_beyond_the_stack_is_refused_before_the_work() -> None:
    tokenizing = TokenizingThread((SMALLEST_BYTES,))
    done: list[int] = []
    with pytest.raises(EngineError, match=r"40000 characters.*at most 32256.*lines"):
        tokenizing.run(lambda: done.append(1), 40_000)
    assert not done
    tokenizing.close()


def test_a_deep_stack_is_given_back_after_its_call() -> None:
    tokenizing = TokenizingThread((SMALLEST_BYTES,))
    thread = tokenizing.run(threading.current_thread, SHALLOW_CHARACTERS)
    assert thread.is_alive()
    assert tokenizing.run(threading.current_thread, SHALLOW_CHARACTERS + 1) is thread
    assert not thread.is_alive()


def test_an_interrupted_caller_goes_on_and_closing_waits_for_its_call() -> None:
    tokenizing = TokenizingThread((SMALLEST_BYTES,))
    is_interrupted, heard = threading.Event(), list[int]()
    done: list[bool] = []

    def interrupt_once(number: int, frame: object) -> None:
        heard.append(number)
        if len(heard) == 1:
            raise KeyboardInterrupt

    def work() -> None:
        main = threading.main_thread().ident
        assert main is not None
        for _ in range(600):  # one that comes just before the wait is heard only with the next
            signal.pthread_kill(main, signal.SIGINT)
            if is_interrupted.wait(0.1):
                break
        done.append(is_interrupted.is_set())

    before = signal.signal(signal.SIGINT, interrupt_once)
    try:
        with pytest.raises(KeyboardInterrupt):
            tokenizing.run(work, 1)
        assert not done
        is_interrupted.set()
        tokenizing.close()
    finally:
        signal.signal(signal.SIGINT, before)
    assert done == [True]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system cannot fork")
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_a_child_made_by_a_fork_starts_a_thread_of_its_own() -> None:
    tokenizing = TokenizingThread((SMALLEST_BYTES,))
    tokenizing.run(lambda: None, 1)
    child_id = os.fork()
    if not child_id:
        status = 1
        try:
            status = tokenizing.run(lambda: 0, 1)
        finally:
            os._exit(status)
    assert os.waitpid(child_id, 0)[1] == 0
    tokenizing.close()


# The model ---------------------------------------------------------------------------------------------


@pytest.mark.anyio
async def test_prompts_are_made_tokens_beside_the_event_loop(
    tiny_model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    where: list[int] = []
    async with loaded(tiny_model) as model:
        prompt = model._template.prompt

        def noted(messages: Sequence[Message], options: Options) -> PromptTokens:
            where.append(threading.get_ident())
            return prompt(messages, options)

        monkeypatch.setattr(model._template, "prompt", noted)
        await answer(model, "short")
    assert len(where) == 1 and where[0] != threading.get_ident()


def test_no_thread_is_left_when_the_last_engine_is_closed(tiny_model: Path) -> None:
    code = (
        "import sys, threading, samovar\n"
        "with samovar.open_blocking(model=sys.argv[1]) as app, app.session() as session:\n"
        "    session.ask('x', max_tokens=1)\n"
        "    print([one.name for one in threading.enumerate() if 'tokenizer' in one.name])\n"
        "print([one.name for one in threading.enumerate() if 'samovar' in one.name])\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(tiny_model)], capture_output=True, text=True, timeout=120
    )
    assert done.stdout.split("\n")[:2] == ["['samovar tokenizer']", "[]"], done.stderr
