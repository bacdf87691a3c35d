"""The threads of the engine's tokenizer, which have a large stack.

Above: `binding.py` owns it, `vocabulary.py` hands it its calls. Below: `memory/`. It does not know what a
token is. For many vocabularies llama.cpp splits text by libstdc++'s `std::regex`, which calls itself for
each character of one match (ggml-org/llama.cpp#27783), and a stack that overflows ends the process. So the
stack is larger than any usual text needs, and a text that needs more is refused.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Callable
from concurrent.futures import Future
from pathlib import Path
from queue import SimpleQueue
from typing import Any, TypeVar

from samovar.errors import EngineError, UnmetError
from samovar.memory import available_bytes, in_words

T = TypeVar("T")
_Job = tuple[Callable[[], Any], "Future[Any]"]

STACKS_BYTES = tuple(1 << bits for bits in range(30, 23, -1))
"""Sizes to try, the best first. This is address space: memory is taken only as far as a text needs it."""
STRICT_STACK_BYTES = 1 << 26
"""At most, on a machine that counts address space as memory (proc(5), `overcommit_memory`)."""
ADDRESS_SPACE_PART = 16
"""The stack takes at most one part in this many of the address space that a limit leaves this process."""
CHARACTER_BYTES = 512
"""Bytes of stack for each character of one match. On x86-64 it was 352 for every kind of character and each
of the 27 pre-tokenizers that are affected; the rest is for other compilers."""
RESERVE_BYTES = 1 << 18
"""Bytes of stack for everything else."""
SHALLOW_CHARACTERS = 20_000
"""Up to here a text's stack is nothing to think about. Beyond, the thread ends with its call, since a stack
keeps the memory that it once took."""

_BORDER = re.compile(r"[\r\n](?=[^\s/])")
_sizing = threading.Lock()


def longest_match(text: str) -> int:
    """At most as many characters of `text` are one match of a pre-tokenizer, whatever the vocabulary.

    No match goes from a line break to a character that is neither a blank nor a slash, by the patterns of
    the pinned build (`llm_tokenizer_bpe` in `llama-vocab.cpp`). Within a line there is none that all of
    them respect: some match all up to a blank (bloom), or words and the blanks between them (exaone-moe).
    """
    if len(text) <= SHALLOW_CHARACTERS:
        return len(text)
    longest = start = 0
    for border in _BORDER.finditer(text):
        longest, start = max(longest, border.end() - start), border.end()
    return max(longest, len(text) - start)


class TokenizingThread:
    """Runs one call after the other, in the order in which they ask.

    Mutable: the thread and what it is asked, changed under the lock by `run`, which starts it, and by
    `close`. A thread that was closed is started again by the next `run`.
    """

    def __init__(self, stacks_bytes: tuple[int, ...] = STACKS_BYTES) -> None:
        """`stacks_bytes`: the sizes to try, the best first."""
        self._stacks_bytes = stacks_bytes
        self._stack_bytes = 0
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None
        self._jobs: SimpleQueue[_Job | None] | None = None
        """None: nothing more is taken, the thread is on its way out."""

    def run(self, work: Callable[[], T], characters: int) -> T:
        """What `work` returns or raises. `characters`: the longest match that it makes the engine look for.

        Blocks. Raises `UnmetError` if the stack or the memory does not suffice for such a long match.
        """
        with self._lock:
            jobs = self._start()
            self._refuse(characters)
            job: Future[T] = Future()
            jobs.put((work, job))
            try:
                return job.result()
            finally:
                if characters > SHALLOW_CHARACTERS:
                    self._end()

    def close(self) -> None:
        """Ends the thread once it has done what it was asked. Safe to call twice.

        What a call uses may be freed after this, also if its caller was interrupted.
        """
        with self._lock:
            self._end()

    def _refuse(self, characters: int) -> None:
        """Raises `UnmetError` for a match that is too long for the thread's stack or for memory."""
        if characters <= SHALLOW_CHARACTERS:
            return
        most = (self._stack_bytes - RESERVE_BYTES) // CHARACTER_BYTES
        why = f"its thread could only get {in_words(self._stack_bytes)} of stack"
        if characters <= most and characters > (free := available_bytes()) // CHARACTER_BYTES:
            most, why = free // CHARACTER_BYTES, f"only {in_words(free)} of memory is free"
        if characters > most:
            raise UnmetError(
                f"A text has {characters} characters in one line or in blank lines. The engine can tokenize "
                f"at most {most} here, because {why}. Break the text into lines, or shorten it."
            )

    def _start(self) -> SimpleQueue[_Job | None]:
        """Has a thread that takes jobs. One that is not alive was left behind by a fork."""
        if self._jobs is not None and self._thread is not None and self._thread.is_alive():
            return self._jobs
        self._end()
        largest = _largest_stack()
        fitting = [size for size in self._stacks_bytes if size <= largest]
        for size in fitting or self._stacks_bytes[-1:]:
            jobs: SimpleQueue[_Job | None] = SimpleQueue()
            thread = threading.Thread(target=_work, args=(jobs,), name="samovar tokenizer", daemon=True)
            if _started(thread, size):
                self._thread, self._jobs, self._stack_bytes = thread, jobs, size
                return jobs
        raise EngineError(
            "The operating system refused a thread for making tokens of text. It may be short of memory, or "
            "a limit of this process too low (`ulimit -v`, `ulimit -u`)."
        )

    def _end(self) -> None:
        if self._jobs is not None:
            self._jobs.put(None)
            self._jobs = None
        if self._thread is not None:
            self._thread.join()
            self._thread = None


class TokenizingThreads:
    """Two of them: what is long has a thread of its own, so that nothing short waits for it."""

    def __init__(self) -> None:
        self._short, self._long = TokenizingThread(), TokenizingThread()

    def run(self, work: Callable[[], T], characters: int, *, is_long: bool = False) -> T:
        """See `TokenizingThread.run`. `is_long`: it is work on more than `SHALLOW_CHARACTERS` in all."""
        return (self._long if is_long or characters > SHALLOW_CHARACTERS else self._short).run(
            work, characters
        )

    def close(self) -> None:
        """See `TokenizingThread.close`."""
        self._short.close()
        self._long.close()


def _work(jobs: SimpleQueue[_Job | None]) -> None:
    while (job := jobs.get()) is not None:
        work, future = job
        try:
            future.set_result(work())
        except BaseException as error:  # handed on: anyone who waits for the future gets it raised
            future.set_exception(error)
        del job, work, future  # an error's traceback would keep what the caller has let go


def _started(thread: threading.Thread, stack_bytes: int) -> bool:
    """Whether it runs now, with a stack of this size. The size is one setting for the whole process."""
    with _sizing:
        try:
            before = threading.stack_size(stack_bytes)
        except ValueError:  # not with this system
            return False
        try:
            thread.start()
        except RuntimeError:  # no thread, or none with such a stack
            return False
        finally:
            threading.stack_size(before)
    return True


def _largest_stack() -> int:
    """Bytes of address space that a stack may take so that models still find theirs."""
    largest = STACKS_BYTES[0]
    try:
        import resource
    except ImportError:
        return largest
    for kind in (resource.RLIMIT_AS, resource.RLIMIT_DATA):
        limit, _ = resource.getrlimit(kind)
        if limit != resource.RLIM_INFINITY:
            largest = min(largest, limit // ADDRESS_SPACE_PART)
    try:
        is_strict = Path("/proc/sys/vm/overcommit_memory").read_text(encoding="ascii").strip() == "2"
    except (OSError, ValueError):
        is_strict = False
    return min(largest, STRICT_STACK_BYTES) if is_strict else largest
