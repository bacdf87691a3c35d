"""One llama.cpp context and its decode loop.

Above: `model.py`, which submits requests. Below: `cells.py` (the books), `sampling.py`, `answer.py`,
`binding.py`. The decode loop is one named thread; it alone calls into the context and changes the books.

Each turn of the loop builds one batch: the next token of every running sequence first, then chunks of the
prompts still being evaluated, first come first served. A request's worst case (prompt and `max_tokens`)
is reserved when it is admitted, so a batch always finds its cells.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Iterable
from typing import Any

from samovar.engines.base import Finished, PromptProgress, TextPart
from samovar.engines.llama.answer import AnswerText
from samovar.engines.llama.batch import Batch
from samovar.engines.llama.binding import Binding
from samovar.engines.llama.cells import Ledger, Parked, Row
from samovar.engines.llama.running import Request, Running
from samovar.engines.llama.sampling import Sampler
from samovar.engines.llama.vocabulary import Vocabulary
from samovar.errors import ClosedError, EngineError, SamovarError
from samovar.generation import FinishReason, TokenCounts

log = logging.getLogger("samovar.engine")

BATCH_TOKENS = 512
"""At most so many tokens are evaluated in one turn of the loop."""
CHUNK_BESIDE_TOKENS = 64
"""A prompt's chunk while other sequences are generating, so that it does not stall them for long."""
MAX_RUNNING = 32
MAX_SEQUENCES = 64
"""Running and parked together; llama.cpp allows 256."""


class Arena:
    """A unified KV cache of `cells` cells over loaded weights, and the thread that owns it."""

    def __init__(
        self, binding: Binding, weights: Any, vocabulary: Vocabulary, *, cells: int, threads: int
    ) -> None:
        self._binding, self._ffi, self._lib = binding, binding.ffi, binding.lib
        self._vocabulary = vocabulary
        self.threads = threads
        self._abort = self._ffi.new("struct ggml_tensor_head *")
        self._abort.ne = [1, 1, 1, 1]
        self._context = self._make_context(weights, cells, threads)
        self._memory = self._lib.llama_get_memory(self._context)
        self.cells: int = self._lib.llama_n_ctx(self._context)
        self._can_fork = not (
            self._lib.llama_model_is_recurrent(weights) or self._lib.llama_model_is_hybrid(weights)
        )
        self._batch = Batch(binding, BATCH_TOKENS)
        # Everything below changes under the lock, in the decode loop, except that callers append to
        # `_waiting` and set `ending` and `_closing`.
        self._lock = threading.Condition()
        self._waiting: deque[Request] = deque()
        self._running: list[Running] = []
        self._parked = Parked()
        self._ledger = Ledger(self.cells)
        self._free_ids = list(range(MAX_SEQUENCES - 1, -1, -1))
        self._closing = False
        self._broken: EngineError | None = None
        self.tokens = TokenCounts()
        self.decode_tokens, self.decode_s, self.evaluate_s = 0, 0.0, 0.0
        self._thread = threading.Thread(target=self._loop, name="samovar decode loop", daemon=True)
        self._thread.start()

    def _make_context(self, weights: Any, cells: int, threads: int) -> Any:
        params = self._lib.llama_context_default_params()
        params.n_ctx = cells
        params.n_batch = params.n_ubatch = BATCH_TOKENS
        params.n_seq_max = MAX_SEQUENCES
        params.n_threads = params.n_threads_batch = threads
        params.kv_unified = True
        # Asked before every node of the graph, so it must not need the interpreter: a function of the
        # engine itself reads the flag. An empty tensor (`ne[0] == 0`) means stop.
        params.abort_callback = self._ffi.cast("ggml_abort_callback", self._lib.ggml_is_empty)
        params.abort_callback_data = self._abort
        context = self._lib.llama_init_from_model(weights, params)
        if context == self._ffi.NULL:
            reason = "; ".join(self._binding.errors_of_this_thread()) or "no reason given"
            raise EngineError(f"The engine could not make a context of {cells} tokens: {reason}")
        return context

    # What callers do -------------------------------------------------------------------------------

    def submit(self, request: Request) -> None:
        """Puts a request in line. Raises `ClosedError` after `close`."""
        with self._lock:
            if self._closing:
                raise ClosedError("The model was closed.")
            if self._broken:
                raise self._broken
            self._waiting.append(request)
            self._lock.notify()

    def end(self, request: Request, reason: FinishReason) -> None:
        """Ends an answer early; its `Finished` comes within one micro-batch. Late calls do nothing."""
        with self._lock:
            if request.ending is None:
                request.ending = reason
                if self._batch.evaluates_prompts:
                    self._abort.ne[0] = 0
                self._lock.notify()

    def close(self) -> None:
        """Ends every answer as cancelled, stops the loop, frees the context. Blocks; safe to call twice."""
        with self._lock:
            self._closing = True
            for request in [*self._waiting, *(running.request for running in self._running)]:
                request.ending = request.ending or FinishReason.CANCELLED
            self._abort.ne[0] = 0
            self._lock.notify()
        self._thread.join()
        if self._context is not None:
            self._batch.close()
            self._lib.llama_free(self._context)
            self._context = None

    def books(self) -> tuple[int, int, int, int]:
        """(running, parked, waiting, cells used)."""
        with self._lock:
            return len(self._running), len(self._parked), len(self._waiting), self._ledger.used

    def check(self) -> None:
        """Raises AssertionError when the books do not balance."""
        with self._lock:
            rows = [running.row for running in self._running] + list(self._parked)
            self._ledger.check(rows)
            ids = [row.id for row in rows] + self._free_ids
            assert sorted(ids) == list(range(MAX_SEQUENCES)), "a sequence is lost or held twice"
            reserved = sum(running.reserved for running in self._running)
            held = len({cell for running in self._running for cell in running.row.cells})
            assert held + reserved <= self.cells, (held, reserved, self.cells)
            assert not (self._waiting and not self._running and not self._thread.is_alive())

    # The decode loop -------------------------------------------------------------------------------

    def _loop(self) -> None:
        try:
            while self._turn():
                pass
        except Exception as error:  # the thread's edge: whoever waits must be told
            log.exception("the decode loop failed")
            self._break(EngineError(f"The decode loop failed: {error!r}"))

    def _turn(self) -> bool:
        """One batch. False when the arena is closing and nothing is left."""
        with self._lock:
            while not (self._waiting or self._running):
                if self._closing:
                    self._evict_all()
                    return False
                self._lock.wait()
            self._abort.ne[0] = 1
            self._end_early()
            self._admit()
            self._plan()
        if not self._batch.size:
            return True
        started = time.monotonic()
        code = self._lib.llama_decode(self._context, self._batch.value)
        elapsed = time.monotonic() - started
        if code == 0:
            self._advance(elapsed)
        else:
            self._recover(code)
        return True

    def _end_early(self) -> None:
        for request in [request for request in self._waiting if request.ending]:
            self._waiting.remove(request)
            assert request.ending
            request.events.put(Finished(reason=request.ending, tokens=TokenCounts(), first_token_s=None))
        for running in [running for running in self._running if running.request.ending]:
            assert running.request.ending
            self._finish(running, running.request.ending)

    def _admit(self) -> None:
        """Takes requests from the line, in order, as long as their worst case fits."""
        while self._waiting and len(self._running) < MAX_RUNNING:
            request = self._waiting[0]
            source, shared = self._find_prefix(request.tokens)
            if not self._has_room(request, source, shared):
                return
            self._waiting.popleft()
            row = Row(self._take_id(keep=source))
            if source is not None and shared:
                self._ledger.fork(source, row, shared)
                self._lib.llama_memory_seq_cp(self._memory, source.id, row.id, 0, shared)
            self._make_room(len(request.tokens) + request.max_tokens - shared)
            try:
                sampler = Sampler(self._binding, self._vocabulary, request.options)
            except SamovarError as error:
                self._release(row)
                request.events.fail(error)
                continue
            sampler.remember(request.tokens)
            text = AnswerText(() if request.options.choices else request.options.stop)
            running = Running(
                request=request,
                row=row,
                sampler=sampler,
                text=text,
                reused=shared,
                prompt=request.tokens,
                total_cells=len(request.tokens) + request.max_tokens,
            )
            self._running.append(running)
            self._tell_progress(running)

    def _find_prefix(self, tokens: list[int]) -> tuple[Row | None, int]:
        if not self._can_fork:
            return None, 0
        source, shared = self._parked.longest(tokens, also=[running.row for running in self._running])
        # The last token is always evaluated: there are no logits to sample from otherwise.
        return source, min(shared, len(tokens) - 1)

    def _reserved(self) -> int:
        return sum(running.reserved for running in self._running)

    def _has_room(self, request: Request, source: Row | None, shared: int) -> bool:
        """Whether it fits once everything parked is given up but the shared prefix."""
        needed = len(request.tokens) + request.max_tokens - shared
        if self._ledger.used + self._reserved() + needed <= self.cells:
            return bool(self._free_ids or len(self._parked))
        held = {cell for running in self._running for cell in running.row.cells}
        if source is not None:
            held.update(source.cells[:shared])
        return len(held) + self._reserved() + needed <= self.cells

    def _take_id(self, *, keep: Row | None) -> int:
        while not self._free_ids:
            oldest = self._parked.oldest(keep)
            assert oldest is not None, "there are more sequence numbers than may run at once"
            self._release(oldest)
        return self._free_ids.pop()

    def _make_room(self, cells: int) -> None:
        while self._ledger.used + self._reserved() + cells > self.cells:
            oldest = self._parked.oldest()
            assert oldest is not None, "admitted without room"
            self._release(oldest)

    def _plan(self) -> None:
        """Fills the batch: running sequences first, then prompts."""
        batch = self._batch
        batch.clear()
        for running in self._running:
            if running.next_token is not None:
                batch.add(running, [running.next_token], len(running.row), wants_logits=True)
        chunk = CHUNK_BESIDE_TOKENS if batch.size else BATCH_TOKENS
        for running in self._running:
            if running.pending and chunk > 0:
                start = len(running.row)
                tokens = running.prompt[start : start + min(chunk, batch.room)]
                if tokens:
                    batch.add(running, tokens, start, wants_logits=len(tokens) == running.pending)
                    chunk -= len(tokens)

    def _advance(self, elapsed_s: float) -> None:
        """After a good decode: the books follow, and each sequence with logits gets its next token."""
        picked: list[tuple[Running, int | SamovarError]] = []
        for part in self._batch.parts:
            if part.logits_row is not None:
                try:
                    picked.append((part.running, part.running.sampler.pick(self._context, part.logits_row)))
                except SamovarError as error:
                    picked.append((part.running, error))
        with self._lock:
            self._count(elapsed_s)
            for part in self._batch.parts:
                self._ledger.append(part.running.row, part.tokens)
                if part.running.next_token is None:
                    part.running.evaluated += len(part.tokens)
                    self._tell_progress(part.running)
                part.running.next_token = None
            self._batch.clear()
            for running, token in picked:
                if isinstance(token, SamovarError):
                    self._fail(running, token)
                else:
                    self._take(running, token)

    def _count(self, elapsed_s: float) -> None:
        if self._batch.evaluates_prompts:
            self.evaluate_s += elapsed_s
        else:
            self.decode_s += elapsed_s
            self.decode_tokens += len(self._batch.parts)

    def _take(self, running: Running, token: int) -> None:
        """A sequence's next token was picked: tell its text, and go on or finish."""
        if running.first_token_s is None:
            running.first_token_s = time.monotonic() - running.request.submitted_s
        if self._vocabulary.is_end(token):
            return self._finish(running, FinishReason.STOP)
        running.generated += 1
        piece = running.text.feed(self._vocabulary.piece(token))
        if piece:
            running.request.events.put(TextPart(text=piece))
        if running.text.stopped or self._is_spelled(running, piece):
            return self._finish(running, FinishReason.STOP)
        if running.generated >= running.request.max_tokens:
            return self._finish(running, FinishReason.LENGTH)
        running.next_token = token
        return None

    def _is_spelled(self, running: Running, piece: str) -> bool:
        """Whether the answer is one of its choices and can become no longer one."""
        choices = running.request.options.choices
        if not choices:
            return False
        running.spelled += piece
        goes_on = any(choice != running.spelled and choice.startswith(running.spelled) for choice in choices)
        return running.spelled in choices and not goes_on

    def _recover(self, code: int) -> None:
        """After a decode that did not succeed: bring the context back to what the books say."""
        with self._lock:
            parts = list(self._batch.parts)
            self._batch.clear()
            for part in parts:
                self._trim(part.running)
            if code == 2:
                return  # aborted: whoever asked for it is ended next turn, the others are tried again
            if code == 1:
                self._evict_all()
                log.warning("the engine found no cells for a batch that the books had room for")
            error = EngineError(f"The engine could not evaluate a batch (code {code}).")
            for part in parts:
                self._fail(part.running, error)

    def _trim(self, running: Running) -> None:
        if self._lib.llama_memory_seq_rm(self._memory, running.row.id, len(running.row), -1):
            return
        # Recurrent memory cannot go back a few tokens: the sequence starts again.
        self._lib.llama_memory_seq_rm(self._memory, running.row.id, -1, -1)
        if running.next_token is not None:
            running.prompt = [*running.row.tokens, running.next_token]
        self._ledger.drop(running.row)
        running.next_token, running.reused = None, 0

    # Endings: each gives the sequence back exactly once ---------------------------------------------

    def _finish(self, running: Running, reason: FinishReason) -> None:
        held_back = running.text.finish()
        if held_back:
            running.request.events.put(TextPart(text=held_back))
        counts = self._give_back(running)
        self._park(running.row)
        running.request.events.put(
            Finished(reason=reason, tokens=counts, first_token_s=running.first_token_s)
        )

    def _fail(self, running: Running, error: SamovarError) -> None:
        self._give_back(running)
        self._release(running.row)
        running.request.events.fail(error)

    def _give_back(self, running: Running) -> TokenCounts:
        self._running.remove(running)
        running.sampler.close()
        counts = TokenCounts(evaluated=running.evaluated, reused=running.reused, generated=running.generated)
        self.tokens += counts
        return counts

    def _park(self, row: Row) -> None:
        """Keeps a finished sequence for its prefix, in place of those it contains."""
        if not self._can_fork or not len(row):
            return self._release(row)
        for covered in self._parked.take_covered(row):
            self._release(covered)
        self._parked.add(row)
        return None

    def _release(self, row: Row) -> None:
        self._lib.llama_memory_seq_rm(self._memory, row.id, -1, -1)
        self._ledger.drop(row)
        self._free_ids.append(row.id)

    def _evict_all(self) -> None:
        while (row := self._parked.oldest()) is not None:
            self._release(row)

    def _break(self, error: EngineError) -> None:
        with self._lock:
            self._broken = error
            requests: Iterable[Request] = [*self._waiting, *(running.request for running in self._running)]
            self._waiting.clear()
            for running in list(self._running):
                self._running.remove(running)
                running.sampler.close()
                self._release(running.row)
            for request in requests:
                request.events.fail(error)

    def _tell_progress(self, running: Running) -> None:
        running.request.events.put(
            PromptProgress(
                total_tokens=len(running.prompt),
                reused_tokens=running.reused,
                evaluated_tokens=running.evaluated,
            )
        )
