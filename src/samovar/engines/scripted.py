"""The engine that answers from a script: for tests and dry runs, without a model or a file.

The short example of the shelf. Tokens are words. A script is a function from the messages to the answer's
text, in which `<think>…</think>` at its head is reasoning, and `scripted_calls.call_text` behind it a call;
the same limits, stop texts, choices, prefixes and endings hold as with any engine.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import anyio
import anyio.lowlevel

from samovar.engines.base import (
    Conversation,
    Finished,
    GenerationEvent,
    ModelSpec,
    ModelStatistics,
    OnEnd,
    OnLoadProgress,
    WeightsKey,
    check_lengths,
)
from samovar.engines.least import least_json
from samovar.engines.scripted_answers import ScriptedAnswer, answer_to, lasting_of
from samovar.engines.scripted_calls import prompt_text, with_call
from samovar.engines.scripted_words import vector_of, words
from samovar.errors import ClosedError, ContextError, UnmetError
from samovar.generation import (
    Embeddings,
    FinishReason,
    GoingOn,
    Message,
    Options,
    PromptEvaluating,
    TokenCounts,
)
from samovar.models.cost import Cost
from samovar.values import Record
from samovar.values.certainty import certain

Script = Callable[[Sequence[Message]], str]

CONTEXT_TOKENS = 8192


def echo(messages: Sequence[Message]) -> str:
    """The default script: the last message, said back."""
    return messages[-1].content


def text_of(said: str, options: Options) -> str:
    """What of an answer is its text: without the reasoning, and trimmed."""
    if said in options.choices:
        return said
    answer = answer_to(replace(options, choices=()))
    pieces = [*answer.feed(said.encode("utf-8", "replace")), *answer.finish()]
    return "".join(piece.piece for piece in pieces if piece.kind == "text")


def _is_json(text: str) -> bool:
    return Record(text).part("json") is not None or text.strip() == "null"


class ScriptedModel:
    """Answers from a script, word by word as read. `pause` is awaited before each of them."""

    def __init__(
        self,
        script: Script,
        pause: Callable[[], object],
        cells: int,
        *,
        longest: int = 0,
        name: str = "scripted",
    ) -> None:
        """`longest`: text that there is room to embed, in words. `name`: the reference of the model."""
        self._script, self._pause, self._reference = script, pause, name
        self._cells, self._longest = cells, longest
        self._embedded = (0, 0)
        self._seen: list[str] = []
        self._running = 0
        self._tokens = TokenCounts()
        self._closed = False

    @asynccontextmanager
    async def generate(
        self,
        messages: Sequence[Message],
        options: Options,
        conversation: Conversation | None = None,
        *,
        on_end: OnEnd = lambda: None,
        going_on: GoingOn | None = None,
    ) -> AsyncIterator[AsyncIterator[GenerationEvent]]:
        self._check_open()
        prompt = words(prompt_text(messages, options))
        without_tools = words(prompt_text(messages, replace(options, tools=())))
        if len(prompt) >= self._cells:
            raise ContextError(prompt_tokens=len(prompt), context_tokens=self._cells)
        self._running += 1
        said = self._answer(messages, options)
        is_secret = any(message.secret for message in messages)
        lasting = None if is_secret or going_on is None else lasting_of(going_on, prompt, said, options)
        try:
            answer = ScriptedAnswer(answer_to(options, messages), options, lasting)
            yield self._events(prompt, said, answer, len(prompt) - len(without_tools))
        finally:
            self._running -= 1
            if lasting is not None and lasting.is_new:
                lasting.keep()
            on_end()

    def _answer(self, messages: Sequence[Message], options: Options) -> str:
        text = with_call(self._script(messages), options)
        said = text_of(text, options)
        if options.may_call and not said:
            return text
        if options.schema is not None:
            least = least_json(options.schema)
            return text if _is_json(said) else text[: text.rindex(said)] + least
        if not options.choices or text in options.choices or (not said and text):
            return text
        choice = said if said in options.choices else options.choices[0]
        return text[: text.rindex(said)] + choice

    async def _events(
        self, prompt: list[str], said: str, answering: ScriptedAnswer, tools_tokens: int
    ) -> AsyncIterator[GenerationEvent]:
        answer, options, lasting = answering.parts, answering.options, answering.lasting
        reused = 0
        while reused < min(len(prompt) - 1, len(self._seen)) and prompt[reused] == self._seen[reused]:
            reused += 1
        self._seen = prompt
        yield PromptEvaluating(total_tokens=len(prompt), reused_tokens=reused, evaluated_tokens=0)
        room = self._cells - len(prompt)
        reason = FinishReason.STOP
        began_s = anyio.current_time() - answering.spent_s
        for piece in answering.follow(words(said)):
            yield piece
        for token in words(said)[answering.generated :]:
            is_limited = answer.is_free or not options.choices or options.may_call
            if answering.generated >= (min(room, options.max_tokens) if is_limited else room):
                reason = FinishReason.LENGTH
                break
            with anyio.move_on_after(options.timeout_s) as clock:
                await self._wait()
            is_over = options.ceiling_s is not None and anyio.current_time() > began_s + options.ceiling_s
            if clock.cancelled_caught or is_over:
                reason = FinishReason.TIMEOUT
                break
            for piece in answering.say(token):
                yield piece
            if answer.stopped:
                break
            if lasting is not None and lasting.is_due:
                lasting.keep()
        if lasting is not None:
            lasting.is_over = True
        cut = answer.cut(is_done=reason is FinishReason.STOP)
        for piece in answer.finish():
            yield piece
        counts = TokenCounts(
            evaluated=len(prompt) - reused,
            reused=reused,
            generated=answering.generated,
            reasoning=answer.reasoning_tokens,
            resumed=lasting.resumed if lasting else 0,
        )
        self._tokens += counts
        calls = answer.calls if reason is FinishReason.STOP else ()
        is_sure = cut is None and not options.may_call
        yield Finished(
            reason=FinishReason.CALLS if calls else reason,
            tokens=counts,
            first_token_s=None,
            cut=cut,
            chosen=certain(options.choices, options.schema, text_of(said, options)) if is_sure else (),
            calls=calls,
            tools_tokens=tools_tokens,
            context_tokens=self._cells,
        )

    async def _wait(self) -> None:
        await anyio.lowlevel.checkpoint()
        waiting = self._pause()
        if hasattr(waiting, "__await__"):
            await waiting

    async def count(self, messages: Sequence[Message], options: Options) -> int:
        self._check_open()
        return len(words(prompt_text(messages, options)))

    async def embed(self, texts: Sequence[str], *, prefix: str = "") -> Embeddings:
        tokens = [words(prefix + text) for text in texts]
        self._check_texts(tokens)
        vectors = []
        for some in tokens:
            await self._wait()
            self._check_open()
            vectors.append(vector_of(some))
        counted = sum(map(len, tokens))
        self._embedded = (self._embedded[0] + len(texts), self._embedded[1] + counted)
        return Embeddings(vectors=tuple(vectors), tokens=counted, model=self._reference)

    def _check_texts(self, tokens: Sequence[Sequence[str]]) -> None:
        self._check_open()
        for number, some in enumerate(tokens, start=1):
            if not some:
                raise UnmetError(
                    f"Text {number} is empty, and there is no word for an empty text. Leave it out."
                )
        check_lengths([len(some) for some in tokens], room_tokens=self._longest, most_tokens=CONTEXT_TOKENS)

    def _check_open(self) -> None:
        if self._closed:
            raise ClosedError("The model was closed.")

    async def resize(self, cost: Cost) -> None:
        self._cells, self._longest = cost.context_tokens, cost.embedding_tokens

    def statistics(self) -> ModelStatistics:
        return ModelStatistics(
            weights_bytes=None,
            kv_bytes=None,
            context_tokens=self._cells,
            threads=None,
            threads_reason=None,
            tuning=None,
            tokens=self._tokens,
            restored_tokens=0,
            restored_s=0.0,
            evaluate_s=None,
            decode_tokens_per_s=None,
            sequences_running=self._running,
            requests_waiting=0,
            cells_used=0,
            embedded_texts=self._embedded[0],
            embedded_tokens=self._embedded[1],
        )

    def check(self) -> None:
        assert self._running >= 0

    async def close(self) -> None:
        self._closed = True


class ScriptedEngine:
    """See `engines.base.Engine`. Any reference is a model; nothing is read."""

    name = "scripted"

    def __init__(self, script: Script = echo, *, pause: Callable[[], object] = lambda: None) -> None:
        self._script, self._pause = script, pause

    def key(self, spec: ModelSpec) -> WeightsKey:
        return WeightsKey(path=Path(spec.path), size_bytes=0, modified_ns=0, gpu_layers=None)

    def beside_bytes(self) -> int:
        return 0

    def leave(self, spare_bytes: int) -> None:
        """Nothing is held."""

    def predict(self, spec: ModelSpec, *, free_bytes: int | None = None) -> Cost:
        return Cost(
            weights_bytes=0,
            kv_bytes=0,
            compute_bytes=0,
            embedding_tokens=min(spec.embedding_tokens, CONTEXT_TOKENS),
            context_tokens=spec.context_tokens or CONTEXT_TOKENS,
            estimated=False,
        )

    async def load(self, spec: ModelSpec, cost: Cost, on_progress: OnLoadProgress) -> ScriptedModel:
        on_progress(1.0)
        await anyio.lowlevel.checkpoint()
        return ScriptedModel(
            self._script,
            self._pause,
            cost.context_tokens,
            longest=cost.embedding_tokens,
            name=spec.reference,
        )

    def close(self) -> None:
        """Nothing is held."""
