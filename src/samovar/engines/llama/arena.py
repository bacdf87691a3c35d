"""One llama.cpp context and its decode loop.

Above: `model.py`, which submits requests. Below: `context.py`, `admission.py` (who waits and who runs),
`prefixes/` (evaluated prefixes), `batch.py`. The decode loop is one named thread; it alone calls into the
context and changes the books.

Each round of the loop builds one batch: the next token of every running sequence first, then chunks of the
prompts still being evaluated, first come first served.
"""

from __future__ import annotations

import logging
import threading
import time

from samovar.engines.llama.admission import Admission
from samovar.engines.llama.batch import Batch
from samovar.engines.llama.binding import Binding
from samovar.engines.llama.context import Context
from samovar.engines.llama.prefixes.answer_states import AnswerStates
from samovar.engines.llama.prefixes.base import Carried, Prefixes
from samovar.engines.llama.queue import RequestQueue
from samovar.engines.llama.requests import Books, Request, Running, Usage
from samovar.engines.llama.threads import ThreadChoice
from samovar.engines.llama.vocabulary import Vocabulary
from samovar.errors import EngineError, SamovarError
from samovar.generation import FinishReason
from samovar.models.tuning import BATCH_TOKENS

log = logging.getLogger("samovar.engine")

CHUNK_BESIDE_TOKENS = 64
"""A prompt's chunk while other sequences are generating, so that it does not stall them for long."""
GATHER_S = 0.002
"""Where memory cannot be cut, the loop waits this long for company before it begins: it has to know where
prompts part before it gets there."""
IDLE_S = 0.5
"""With nothing to do for this long, the loop begins to copy prefixes to disk, …"""
SAVING_S = 0.01
"""… and looks for something better to do after each."""


class Arena:
    """The thread that owns a context. `exact` has the prefixes of requests that must be deterministic."""

    def __init__(
        self,
        binding: Binding,
        context: Context,
        vocabulary: Vocabulary,
        *,
        prefixes: Prefixes,
        exact: Prefixes,
        states: AnswerStates,
        usage: Usage,
        threads: ThreadChoice,
    ) -> None:
        self._binding, self._context, self._vocabulary = binding, context, vocabulary
        self._prefixes, self._exact, self._usage = prefixes, exact, usage
        self.threads = threads
        """How many threads each step has."""
        self.cells = context.cells
        self._batch = Batch(binding, BATCH_TOKENS)
        self._queue = RequestQueue()
        # Everything below belongs to the decode loop; the lock is for those who look at the books. Until it
        # is over a request is in the queue, waits or runs: its reader learns of whatever fails.
        self._lock = threading.Lock()
        self._stopping = threading.Lock()
        """Held, briefly, while it is decided whether to stop a batch: so never a later one is stopped."""
        self._admission = Admission(
            binding, context, vocabulary, prefixes=prefixes, exact=exact, states=states, usage=usage
        )
        self._is_broken = False  # the decode loop failed half way: nothing in the context can be relied on
        self._is_freed = False
        self._thread = threading.Thread(target=self._loop, name="samovar decode loop", daemon=True)
        self._thread.start()

    # What callers do -------------------------------------------------------------------------------

    def submit(self, request: Request) -> None:
        """Queues a request. Raises `ClosedError` after `close`, and what broke the decode loop."""
        self._queue.put(request)

    def told(self, _: object) -> None:
        self._queue.tell()  # what a request has waited for is there

    def end(self, request: Request, reason: FinishReason) -> None:
        """Ends an answer early; its `Finished` comes within one micro-batch. Late calls do nothing."""
        if request.ending is None and not request.is_over:
            request.ending = reason  # first, so that the loop sees it before it decodes, or is stopped
            with self._stopping:
                if self._may_stop():
                    self._context.stop_soon()
            self._queue.tell()

    def _may_stop(self) -> bool:
        """Whether to stop the batch costs nobody who continues. Not all memory can go back to before it."""
        if not self._context.keeps_whole_states:
            return self._batch.evaluates_prompts
        parts = self._batch.parts
        return bool(parts) and all(part.running.request.ending for part in parts)

    def close(self, *, carry_bytes: int | None = None) -> list[Carried]:
        """Ends every answer as cancelled, stops the loop, frees the context. Blocks; safe to call twice.

        With `carry_bytes` the prefixes are returned, for another arena, as far as their copies take no more;
        without, they are copied to disk. Those of a broken arena are lost.
        """
        self._queue.close()
        self._context.stop_soon()
        self._thread.join()
        if self._is_freed:
            return []
        self._is_freed = True
        try:
            if self._is_broken:
                return []
            self._admission.close()
            self._exact.clear()  # first, so that there is room for what is carried
            carried = [] if carry_bytes is None else self._prefixes.carry(carry_bytes)
            self._prefixes.clear()
            return carried
        finally:
            self._batch.close()
            self._context.close()

    def notes(self) -> list[str]:
        """What a person should know."""
        lost = self._prefixes.lost_tokens
        if not lost:
            return []
        return [
            "This model's memory cannot be cut at every token, so prefixes are reused by copying whole "
            f"states: {lost} prompt tokens were evaluated again."
        ]

    def books(self) -> Books:
        with self._lock:
            return self._admission.books(len(self._queue))

    @property
    def is_broken(self) -> bool:
        """The decode loop has failed, or was closed: everything asked of it from now on is refused."""
        return self._is_broken or self._is_freed

    def check(self) -> None:
        """Raises AssertionError when the books do not balance; those of a broken arena say nothing."""
        with self._lock:
            if self._is_broken:
                return
            self._admission.check()
            waiting, running = self._admission.waiting, self._admission.running
            assert not (waiting and not running and not self._thread.is_alive())

    # The decode loop -------------------------------------------------------------------------------

    def _loop(self) -> None:
        try:
            while self._round():
                pass
        except Exception as error:  # the thread's edge: anyone who waits must get it
            log.exception("the decode loop failed")
            self._break(EngineError(f"The decode loop failed: {error!r}"))

    def _round(self) -> bool:
        """One batch. False when the arena is closing and nothing is left."""
        if not self._admission.is_anyone:
            self._idle()
        with self._stopping:
            self._batch.clear()
            self._context.go_on()
        with self._lock:
            self._admission.waiting.extend(self._queue.take())
            self._admission.end_early(all_cancelled=self._queue.is_closed)
            if self._queue.is_closed and not self._admission.is_anyone:
                return False
            self._admission.admit()
            self._plan()
        if not self._batch.size or any(running.request.ending for running in self._admission.running):
            if not self._batch.size and self._admission.is_preparing:
                self._queue.wait(IDLE_S)
            return True
        threads = self.threads.of_step(self._batch.evaluates_prompts, is_exact=self._admission.is_exact)
        self._context.set_threads(threads)
        started = time.monotonic()
        if code := self._context.decode(self._batch.value):
            self._recover(code)
        else:
            self._advance(time.monotonic() - started)
        return True

    def _idle(self) -> None:
        """Until somebody comes. Meanwhile prefixes are copied to disk."""
        pause_s: float | None = IDLE_S
        while not self._queue.wait(pause_s):
            with self._lock:
                pause_s = SAVING_S if self._prefixes.save() else None
        if self._context.keeps_whole_states:
            self._queue.gather(GATHER_S)

    def _plan(self) -> None:
        """Fills the batch: running sequences first, then prompts."""
        batch, planned = self._batch, self._admission.next_ones()
        for running in planned:
            if running.next_tokens and len(running.next_tokens) <= batch.room:
                batch.add(running, running.next_tokens, len(running.row), wants_logits=True)
        is_unstoppable = self._context.keeps_whole_states and len(self._admission.running) > 1
        alone = self._context.micro_batch_tokens if is_unstoppable else BATCH_TOKENS
        chunk = CHUNK_BESIDE_TOKENS if batch.size else alone
        for running in planned:
            if running.pending and chunk > 0:
                tokens = running.next_chunk(min(chunk, batch.room))
                if tokens:
                    batch.add(running, tokens, len(running.row), wants_logits=len(tokens) == running.pending)
                    chunk -= len(tokens)

    # After a decode ----------------------------------------------------------------------------------

    def _advance(self, elapsed_s: float) -> None:
        """After a good decode: the books follow, and each sequence with logits gets its next token."""
        picked: list[tuple[Running, list[int] | SamovarError]] = []
        for part in self._batch.parts:
            if part.logits_row is not None:
                try:
                    part.running.follow()
                    pick = part.running.sampler.pick
                    picked.append((part.running, pick(self._context.value, part.logits_row)))
                except SamovarError as error:
                    picked.append((part.running, error))
        with self._lock:
            evaluates, size = self._batch.evaluates_prompts, self._batch.size
            self._usage.count(elapsed_s, 0 if evaluates else size)
            if not evaluates and not self._admission.is_exact:
                self.threads.stepped(elapsed_s, size)
            for part in self._batch.parts:
                running = part.running
                running.row.tokens.extend(part.tokens)
                running.row.own += len(part.tokens)
                running.is_suspect = False
                if not running.next_tokens:
                    running.evaluated += len(part.tokens)
                    running.prefixes.evaluated(running.row, running.prompt)
                    running.report_progress()
                running.next_tokens = []
            self._batch.clear()
            for running, outcome in picked:
                if isinstance(outcome, SamovarError):
                    self._admission.fail(running, outcome)
                else:
                    self._take(running, outcome)

    def _take(self, running: Running, tokens: list[int]) -> None:
        """A sequence's next tokens were picked: their text is put, and it continues or finishes."""
        if running.first_token_s is None:
            running.first_token_s = time.monotonic() - running.request.submitted_s
        answer = running.request.answer
        for left, token in zip(reversed(range(len(tokens))), tokens, strict=True):
            if self._vocabulary.is_end(token):
                return self._admission.finish(running, FinishReason.STOP)
            running.said(token)
            if answer.is_over or (not left and running.sampler.is_over):
                return self._admission.finish(running, FinishReason.STOP)
            if running.is_full:
                return self._admission.finish(running, FinishReason.LENGTH)
        running.next_tokens = tokens
        self._admission.keep(running, if_due=True)

    def _recover(self, code: int) -> None:
        """After a decode that did not succeed: bring the context back to what the books say."""
        with self._lock:
            parts = list(self._batch.parts)
            self._batch.clear()
            for part in parts:
                self._trim(part.running)
            if code == 2:
                return  # stopped: anyone who asked for it is ended next turn, the others are tried again
            if code == 1:
                self._prefixes.clear()
                log.warning("the engine found no cells for a batch that the books had room for")
            self._admission.fail_batch([part.running for part in parts], code)

    def _trim(self, running: Running) -> None:
        row = running.row
        if not self._context.keeps_whole_states and self._context.remove(row.sequence, len(row)):
            return
        # Such memory cannot go back a few tokens: the sequence starts again, unless it ends anyway.
        if running.next_tokens:
            running.prompt = [*row.tokens, *running.next_tokens]
        running.prefixes.give_back(row, None)
        running.next_tokens = []
        if not running.request.ending:
            running.prefixes.begin(row, running.prompt, 0, goes_on=False)

    def _break(self, error: EngineError) -> None:
        """Refuses all who come from now on, and ends everybody."""
        self._queue.close(error)
        with self._lock:
            self._is_broken = True
            self._admission.fail_all(self._queue.take(), error)
