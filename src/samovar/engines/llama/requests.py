"""A request for an answer, its resources while it runs, and the totals of all requests.

Above: `arena.py` and `admission.py`, whose decode loop changes these; `model.py` makes the requests. Below:
`prefixes/`, `sampling.py`, `answering.py`, `stream.py`.
"""

from __future__ import annotations

import time
from concurrent.futures import Future
from dataclasses import dataclass, field

from samovar.engines.base import Conversation, Finished
from samovar.engines.lasting import Lasting
from samovar.engines.llama.answering import TokenAnswer
from samovar.engines.llama.constraint import Constraint
from samovar.engines.llama.prefixes.answer_states import AnswerStates
from samovar.engines.llama.prefixes.base import Prefixes, Row
from samovar.engines.llama.prefixes.disk_index import PromptDigests
from samovar.engines.llama.sampling import Sampler
from samovar.engines.llama.stream import EventStream
from samovar.errors import SamovarError
from samovar.generation import FinishReason, Options, PromptEvaluating, TokenCounts


@dataclass(slots=True)
class Usage:
    """What a model's arenas have done so far, one after the other. Changed by the decode loop."""

    tokens: TokenCounts = field(default_factory=TokenCounts)
    """Tokens of all requests that have ended."""
    decode_tokens: int = 0
    """In turns that evaluated no prompt."""
    decode_s: float = 0.0
    """How long those turns took."""
    evaluate_s: float = 0.0
    """How long the other turns took, what was decoded in them included."""

    def count(self, elapsed_s: float, decoded: int) -> None:
        """A turn, which has decoded so many tokens, or none and evaluated prompts."""
        if decoded:
            self.decode_s += elapsed_s
            self.decode_tokens += decoded
        else:
            self.evaluate_s += elapsed_s

    def evaluating_s(self, tokens: int) -> float | None:
        """About what evaluating this many prompt tokens takes; None before an answer has ended."""
        evaluated = self.tokens.evaluated
        return tokens * self.evaluate_s / evaluated if evaluated else None


@dataclass(frozen=True, slots=True, kw_only=True)
class Books:
    """An arena's state at one moment."""

    running: int
    """Requests that have a row."""
    waiting: int
    """Requests that have none yet, those still in the queue included."""
    cells_used: int
    """By rows and by prefixes that are kept."""


@dataclass(slots=True, eq=False)
class Request:
    """One answer that is asked for. The fields change in the decode loop only, but `ending`."""

    tokens: list[int]
    """The whole prompt."""
    options: Options
    answer: TokenAnswer
    """Makes whole characters of its tokens, and parts of these."""
    max_tokens: int
    """After the cap by the context: prompt and this always fit an empty arena."""
    events: EventStream
    """Where its answer goes."""
    choice_tokens: int = 0
    """The part of `max_tokens` reserved for its choice, while it thinks before it."""
    conversation: Conversation | None = None
    """Who may continue from the answer; None if nobody may."""
    constraint: Future[Constraint | None] | None = None
    """What its text is constrained to beside choices, once it is made; its sampler's from then on. None:
    nothing."""
    is_secret: bool = False
    """Nothing of it may be written to disk."""
    tools_tokens: int = 0
    """Of its prompt: those of the tools' definitions."""
    lasting: Lasting | None = None
    """What of it outlives the process; None: nothing."""
    submitted_s: float = field(default_factory=time.monotonic)
    """On the monotonic clock."""
    ending: FinishReason | None = None
    """Set by anyone to end the answer early: cancelled or timeout."""
    is_over: bool = False
    """`Finished` or an error was put."""
    digests: PromptDigests = field(init=False)
    """Digests of its prompt, for finding copies on disk."""
    known: int = 0
    """The length of its prefix that was there when the prefixes were at `known_version`."""
    known_version: tuple[int, int] | None = None
    """None before it was first asked."""
    leader: Running | None = None
    """Whose prompt is just being evaluated, and begins like this one; it waits for that."""
    led_tokens: int = 0
    """How much the leader's prompt and this one have in common."""

    def __post_init__(self) -> None:
        self.digests = PromptDigests(self.tokens[:-1])

    @property
    def is_preparing(self) -> bool:
        """What its text is constrained to is still being made."""
        return self.constraint is not None and not self.constraint.done()

    def finish(self, end: Finished) -> None:
        """The last event."""
        self.is_over = True
        self.events.put(end)

    def fail(self, error: SamovarError) -> None:
        """The reader gets `error` raised."""
        self.is_over = True
        self.events.fail(error)


@dataclass(slots=True, eq=False)
class Running:
    """A request that has been admitted, and the sequence it holds."""

    request: Request
    row: Row
    prefixes: Prefixes
    """Where its row was begun, and is given back."""
    sampler: Sampler
    """Picks its tokens."""
    reused: int
    """Prompt tokens whose KV was there already."""
    prompt: list[int]
    """What is evaluated before sampling: the request's tokens, or more after a restart."""
    total_cells: int
    """Its worst case: prompt and `max_tokens`."""
    evaluated: int = 0
    """Prompt tokens that were computed."""
    generated: int = 0
    """Tokens of the answer so far."""
    next_tokens: list[int] = field(default_factory=list)
    """The next tokens of its answer, not evaluated yet. The first was sampled; the others must follow it."""
    first_token_s: float | None = None
    """From the request to the first token; None before that."""
    is_suspect: bool = False
    """It was in a batch that failed; its next one is its own."""

    @property
    def pending(self) -> int:
        """Prompt tokens still to be evaluated."""
        return max(0, len(self.prompt) - len(self.row))

    def next_chunk(self, most: int) -> list[int]:
        """What of its prompt may be evaluated next, at most this many tokens."""
        start = len(self.row)
        end = min(self.prefixes.stop(self.row, self.prompt), start + most)
        if self.request.is_preparing:  # the last one, behind which the answer begins, waits for that
            end = min(end, len(self.prompt) - 1)
        return self.prompt[start:end]

    def is_evaluating(self, position: int) -> bool:
        """Whether it is still to evaluate its prompt beyond `position`."""
        return not self.request.is_over and bool(self.pending) and len(self.row) <= position

    @property
    def promised(self) -> int:
        """Cells it may still need."""
        return self.total_cells - len(self.row)

    @property
    def is_full(self) -> bool:
        """No more tokens may be generated."""
        kept = self.request.choice_tokens if self.request.answer.is_free else 0
        return self.generated >= self.request.max_tokens - kept

    def said(self, token: int) -> None:
        """Its next token: what it says is put."""
        self.generated += 1
        if self.request.lasting is not None:
            self.request.lasting.said.append(token)
        for piece in self.request.answer.feed(token):
            self.request.events.put(piece)

    def follow(self) -> None:
        """Before its first token is picked: says again what was said in an earlier process."""
        lasting = self.request.lasting
        if lasting is None or lasting.begun is None:
            return
        begun = lasting.follow()
        weighed = dict(begun.weighed)
        for token in begun.tokens:
            self.sampler.follow(token, begun.settled, weighed)
            self.said(token)

    def keep(self, lasting: Lasting, states: AnswerStates) -> None:
        """Has its answer kept as far as it is; if that cannot be, what was kept before stays."""
        lasting.put_off()
        weighed = self.sampler.weighed()
        if weighed is None:
            return
        if self.request.options.deterministic:
            if len(self.row) + len(self.next_tokens) != len(self.request.tokens) + len(lasting.said):
                return  # it is evaluated again
            kept = states.keep(self.row, lasting.states, len(lasting.said), lasting.all_s)
            if kept is None:
                return
            lasting.states = kept
        lasting.keep(self.sampler.settled, weighed)

    def report_progress(self) -> None:
        """Puts how far its prompt is evaluated."""
        self.request.events.put(
            PromptEvaluating(
                total_tokens=len(self.prompt),
                reused_tokens=self.reused,
                evaluated_tokens=self.evaluated,
            )
        )
