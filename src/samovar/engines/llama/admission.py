"""Decides which of an arena's requests wait and which run: how each is admitted and removed.

Above: `arena.py`, whose decode loop alone calls in here, with the arena's lock held. Below: `prefixes/`,
`sampling.py`, `requests.py`. A request's worst case (prompt and `max_tokens`) is promised to it
when it is admitted, so a batch always finds its cells. It evaluates nothing.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Sequence

from samovar.engines.base import Conversation, Finished
from samovar.engines.llama.binding import Binding
from samovar.engines.llama.context import Context
from samovar.engines.llama.prefixes.answer_states import AnswerStates
from samovar.engines.llama.prefixes.base import Prefixes, Row
from samovar.engines.llama.prefixes.disk_index import WORTH_KEEPING_TOKENS, PromptDigests
from samovar.engines.llama.prefixes.node import Origin
from samovar.engines.llama.requests import Books, Request, Running, Usage
from samovar.engines.llama.sampling import Sampler
from samovar.engines.llama.vocabulary import Vocabulary
from samovar.errors import EngineError, SamovarError
from samovar.generation import FinishReason, TokenCounts


class Admission:
    """The sequences of one arena, and who has them. Mutable: the decode loop's, under the arena's lock.

    A request that was taken from the queue waits or runs until it is over, at every moment: whatever fails,
    its reader gets the error.
    """

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
    ) -> None:
        self._states = states
        self._binding, self._context, self._vocabulary = binding, context, vocabulary
        self._prefixes, self._exact, self._usage = prefixes, exact, usage
        self.waiting: deque[Request] = deque()
        self.running: list[Running] = []
        self._free = list(range(context.max_running - 1, -1, -1))
        """Sequences that nobody has."""

    @property
    def is_anyone(self) -> bool:
        """Someone waits or runs."""
        return bool(self.waiting or self.running)

    @property
    def is_exact(self) -> bool:
        """The one that runs must come out the same each time."""
        return any(running.request.options.deterministic for running in self.running)

    @property
    def is_preparing(self) -> bool:
        """What someone's answer is constrained to is still being made."""
        return any(running.request.is_preparing for running in self.running)

    def books(self, queued: int) -> Books:
        """`queued`: how many have not been taken from the queue yet."""
        own = sum(running.row.own for running in self.running)
        return Books(
            running=len(self.running),
            waiting=len(self.waiting) + queued,
            cells_used=self._prefixes.used_cells + own,
        )

    def check(self) -> None:
        """Raises AssertionError when the books do not balance."""
        for prefixes in (self._prefixes, self._exact):
            prefixes.check([running.row for running in self.running if running.prefixes is prefixes])
        held = [running.row.sequence for running in self.running]
        assert sorted(held + self._free) == list(range(self._context.max_running))

    # Turns -------------------------------------------------------------------------------------------

    def next_ones(self) -> list[Running]:
        """Whose tokens the next batch may have: everybody's, or those of one that is to be tried alone."""
        suspects = [running for running in self.running if running.is_suspect]
        return suspects[:1] or self.running

    # Coming in ---------------------------------------------------------------------------------------

    def admit(self) -> None:
        """Admits those who wait, in order, as long as their worst case fits.

        Who shares a prefix with a prompt that is just being evaluated lets others pass until it is there.
        """
        for request in list(self.waiting):
            if not self._free or self.is_exact:
                return
            exact = request.options.deterministic
            if exact and self.running:
                return
            prefixes = self._exact if exact else self._prefixes
            if self._is_led(request, prefixes):
                continue
            if exact and not self._context.keeps_whole_states:
                self._prefixes.clear()  # the same cells each time, whatever was here before
            if not self._start(request, prefixes):
                return

    def _is_led(self, request: Request, prefixes: Prefixes) -> bool:
        """Whether a running prompt is about to evaluate more of this one than is known, and that is worth it.

        In memory that can be cut anywhere, it is if all that the running one evaluates of it is: the last few
        tokens of that are not evaluated again by those who come just then.
        """
        leader = request.leader
        if leader is not None and leader.is_evaluating(request.led_tokens - 1):
            return True  # it has not got there yet
        request.leader = None
        leaders = [running for running in self.running if running.pending and running.prefixes is prefixes]
        if not leaders:
            return False
        known = self._known(request, prefixes)
        for running in leaders:
            shared = prefixes.share(running.row, running.prompt, request.tokens)
            begun = min(known, running.reused) if prefixes.is_cut_anywhere else known
            if shared > known and shared - begun >= WORTH_KEEPING_TOKENS:
                request.leader, request.led_tokens = running, shared
                return True
        return False

    def _known(self, request: Request, prefixes: Prefixes) -> int:
        """How much of its prompt is there; remembered until that may have changed."""
        version = prefixes.version
        if request.known_version != version:
            request.known = prefixes.known(request.tokens, request.digests)
            request.known_version = version
        return request.known

    def _start(self, request: Request, prefixes: Prefixes) -> bool:
        """Admits a request; False when there is no room for it now."""
        rows = [running.row for running in self.running]
        promised = sum(running.promised for running in self.running)
        cells = len(request.tokens) + request.max_tokens
        if not prefixes.is_room(request.tokens, cells, rows, promised):
            return False
        try:
            sampler = Sampler(
                self._binding, self._vocabulary, request.options, request.answer, request.constraint
            )
        except SamovarError as error:
            self.waiting.remove(request)
            request.fail(error)
            return True
        row = Row(self._free.pop(), Origin(request.conversation, is_secret=request.is_secret))
        prompt, next_tokens = self._begin(row, request, prefixes)
        sampler.remember(request.tokens)
        running = Running(
            request=request,
            row=row,
            prefixes=prefixes,
            sampler=sampler,
            reused=len(row),
            prompt=prompt,
            total_cells=cells,
            next_tokens=next_tokens,
        )
        self.waiting.remove(request)
        self.running.append(running)
        self._tidy()
        running.report_progress()
        return True

    def _begin(self, row: Row, request: Request, prefixes: Prefixes) -> tuple[list[int], list[int]]:
        """`row` takes what is known of its prompt. Gives what is evaluated before a token is picked: the
        prompt, and the newest tokens of an answer that goes on."""
        lasting, prompt, digests = request.lasting, request.tokens, request.digests
        if lasting is not None and lasting.starts() and lasting.begun is not None:
            whole = [*request.tokens, *lasting.begun.tokens]
            if not request.options.deterministic:
                prompt, digests = whole, PromptDigests(whole[:-1])
            elif (state := self._states.restore(row, whole, lasting.begun.states)) is not None:
                lasting.goes_on_from(state)
                return list(row.tokens), whole[len(row) : len(request.tokens) + state.tokens]
            else:
                lasting.anew()
        cells = self._context.cells - sum(running.row.own + running.promised for running in self.running)
        prefixes.begin(row, prompt, cells, goes_on=request.conversation is not None, digests=digests)
        return prompt, []

    def keep(self, running: Running, *, if_due: bool = False) -> None:
        """What there is of its answer is kept for another process, if it lasts."""
        lasting = running.request.lasting
        if lasting is not None and lasting.is_new and (lasting.is_due or not if_due):
            running.keep(lasting, self._states)

    def _tidy(self) -> None:
        """Prefixes leave what is promised, and give up what is of no use."""
        held = sum(running.row.own + running.promised for running in self.running)
        wanted = [request.tokens for request in self.waiting]
        self._prefixes.make_room(self._context.cells - held, wanted)
        self._prefixes.tidy(held, wanted)

    # Endings: each gives the sequence back exactly once ---------------------------------------------

    def end_early(self, *, all_cancelled: bool) -> None:
        """Ends those who are to end; with `all_cancelled`, everyone."""
        if all_cancelled:
            for request in [*self.waiting, *(running.request for running in self.running)]:
                request.ending = request.ending or FinishReason.CANCELLED
        for request in [request for request in self.waiting if request.ending]:
            self.waiting.remove(request)
            assert request.ending
            request.finish(Finished(reason=request.ending, tokens=TokenCounts(), first_token_s=None))
        for running in [running for running in self.running if running.request.ending]:
            assert running.request.ending
            self.finish(running, running.request.ending)

    def finish(self, running: Running, reason: FinishReason) -> None:
        """The answer has ended: its last text, then why it ended and what it cost."""
        request = running.request
        cut = request.answer.cut(is_done=reason is FinishReason.STOP)
        chosen = running.sampler.chosen() if cut is None else ()
        try:
            held_back = request.answer.finish(is_done=reason is FinishReason.STOP)
        except EngineError as error:
            return self.fail(running, error)
        for event in held_back:
            request.events.put(event)
        calls = request.answer.calls
        reason = FinishReason.CALLS if calls else reason
        cancelled = reason is FinishReason.CANCELLED
        if cancelled:
            self.keep(running)
        counts = self._give_back(running, None if cancelled else request.conversation)
        first_token_s = running.first_token_s
        request.finish(
            Finished(
                reason=reason,
                tokens=counts,
                first_token_s=first_token_s,
                cut=cut,
                chosen=chosen,
                calls=calls,
                tools_tokens=request.tools_tokens,
                context_tokens=self._context.cells,
            )
        )

    def fail(self, running: Running, error: SamovarError) -> None:
        """The answer cannot continue: its reader gets `error` raised."""
        self._give_back(running, None)
        running.request.fail(error)

    def fail_batch(self, batch: Sequence[Running], code: int) -> None:
        """The engine could not evaluate a batch. Each of it is tried alone, so that one fails no others."""
        if code < 0 and len(batch) > 1:
            for running in batch:
                running.is_suspect = True
            return
        error = EngineError(f"The engine could not evaluate a batch (code {code}).")
        for running in batch:
            self.fail(running, error)

    def _give_back(self, running: Running, conversation: Conversation | None) -> TokenCounts:
        lasting = running.request.lasting
        if lasting is not None and running.request.ending is not FinishReason.CANCELLED:
            self._states.over([*running.request.tokens, *lasting.said], lasting.states)
        running.sampler.close()
        running.prefixes.give_back(running.row, conversation)
        self.running.remove(running)
        self._free.append(running.row.sequence)
        counts = TokenCounts(
            evaluated=running.evaluated,
            reused=running.reused,
            generated=running.generated,
            reasoning=running.request.answer.reasoning_tokens,
            resumed=lasting.resumed if lasting else 0,
        )
        self._usage.tokens += counts
        return counts

    def close(self) -> None:
        """Nobody comes any more."""
        self._states.over((), ())

    def fail_all(self, queued: Iterable[Request], error: EngineError) -> None:
        """The arena is broken: everybody's reader gets `error` raised, those who are `queued` too.

        The books are not asked any more; what they speak of goes with the context.
        """
        self.waiting.extend(queued)
        for request in (*self.waiting, *(running.request for running in self.running)):
            request.fail(error)
        for running in self.running:
            running.sampler.close()
        self.waiting.clear()
        self.running.clear()
