"""Asks an endpoint: one prompt becomes one streamed request, and what comes back a reply.

Above: the executors of endpoints, each with its dialect. Below: conversations that are sent again, the times
and the errors of an endpoint. A stream is closed before anything goes on, on every path, and nothing is tried
again here but without what an endpoint says it cannot take.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any, ClassVar, Protocol, TypeVar

import anyio

from samovar.config.declared import DeclaredExecutor
from samovar.errors import ContextError, ModelError, SamovarError
from samovar.executors.base import OnPromptEvent, PromptReply, PromptRequest
from samovar.executors.endpoint import Endpoint
from samovar.executors.endpoint_answer import (
    Assembly,
    CallPiece,
    Ended,
    Heard,
    ModelDeclined,
    Over,
    Said,
    TimeUp,
    Used,
    Watch,
)
from samovar.executors.endpoint_errors import (
    declined,
    failure_of,
    not_understood,
    refused_parameter,
    was_cut,
)
from samovar.executors.endpoint_forms import HeldForm, ToolNames
from samovar.executors.history import Dialogue, Histories, SentAgain
from samovar.generation import FinishReason, Message, Options, PartKind, TokenCounts, joined

T = TypeVar("T")
CLOSING_S = 5.0
"""So long may the closing of a stream take."""
_NOT_DONE = (FinishReason.CANCELLED, FinishReason.TIMEOUT)


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """One prompt, as a dialect puts it into words."""

    conversation: Dialogue
    options: Options
    model: str
    form: HeldForm | None
    names: ToolNames


class StreamReader(Protocol):
    """Makes what was heard of what one stream brings. Mutable: what it needs to remember of it."""

    def read(self, chunk: Any) -> Iterable[Heard]:
        """Raises whatever it likes for what is not in the dialect."""
        ...

    @property
    def native(self) -> object | None:
        """What the endpoint wants back unchanged with the next prompt; None if nothing."""
        ...


class EndpointDialect(Protocol):
    """How endpoints of a kind are spoken to. Mutable: what they said they cannot take."""

    droppable: ClassVar[frozenset[str]]
    """Parameters that are left out, or put otherwise, where an endpoint cannot take them."""

    def body(self, asked: Asked) -> dict[str, Any]:
        """Raises `SamovarError` for what cannot be said."""
        ...

    def reader(self, asked: Asked) -> StreamReader: ...

    def drop(self, name: str, model: str) -> None:
        """From now on this model is not sent this parameter."""
        ...

    async def model(self) -> str:
        """The one that answers where none is named. Raises `SamovarError`."""
        ...

    async def stream(self, body: dict[str, Any]) -> Any:
        """An async iterator of chunks, with `response` and `close()`."""
        ...


class EndpointConnection:
    """See `executors.base.Connection`. Mutable: its conversations."""

    def __init__(
        self, dialect: EndpointDialect, endpoint: Endpoint, declared: DeclaredExecutor, most_chars: int
    ) -> None:
        """`most_chars`: of one answer."""
        self._dialect, self._endpoint, self._declared = dialect, endpoint, declared
        self._most_chars = most_chars
        self.histories = Histories()
        self._names = ToolNames()

    async def ask(self, request: PromptRequest, on_event: OnPromptEvent) -> PromptReply:
        async with self.histories.exchange(request) as exchange:
            while True:
                try:
                    return await self._answer(request, exchange, on_event)
                except ContextError as error:
                    excess_tokens = error.prompt_tokens + 1 - error.context_tokens
                    drops = request.options.overflow == "drop_oldest"
                    if not drops or not exchange.drop_oldest(max(excess_tokens, 1)):
                        raise

    async def forget(self, session: str) -> None:
        """See `base.Forgets`."""
        await self.histories.forget(session)

    def close(self) -> None:
        """All conversations end."""
        self.histories.close()

    async def _answer(
        self, request: PromptRequest, exchange: SentAgain, on_event: OnPromptEvent
    ) -> PromptReply:
        options = request.options
        watch = Watch(options, self._declared.silence_s, self._endpoint)
        form = HeldForm.of(options)
        assembly = Assembly(options, on_event, is_held=form is not None)
        reader: StreamReader | None = None
        model = request.model or self._declared.model or ""
        try:
            model = model or await self._mapped(lambda: watch.within(self._dialect.model))
            asked = Asked(
                conversation=exchange.sent, options=options, model=model, form=form, names=self._names
            )
            reader = self._dialect.reader(asked)
            async with self._opened(asked, watch) as stream:
                await self._hear(stream, reader, assembly, watch)
        except TimeUp:
            assembly.reason = FinishReason.TIMEOUT
        reply = self._reply(assembly, watch, form, model, exchange.dropped)
        if reply.finish_reason not in _NOT_DONE:
            message = Message(
                role="assistant",
                content=reply.text,
                parts=reply.parts if reply.reasoning else (),
                secret=any(one.secret for one in exchange.sent.messages),
                calls=reply.calls,
            )
            exchange.keep(message, reader.native if reader else None)
        return reply

    @asynccontextmanager
    async def _opened(self, asked: Asked, watch: Watch) -> AsyncIterator[Any]:
        """The stream of the answer, closed when this ends."""
        stream = await self._begun(asked, watch)
        try:
            yield stream
        finally:
            with anyio.move_on_after(CLOSING_S, shield=True):
                await stream.close()

    async def _begun(self, asked: Asked, watch: Watch) -> Any:
        """The stream, without the parameters that the endpoint says it cannot take."""
        dialect = self._dialect
        while True:
            body = dialect.body(asked)
            refused: str | None = None
            failure: ModelError | None = None
            try:
                return await watch.within(partial(dialect.stream, body))
            except (SamovarError, TimeUp):
                raise
            except Exception as error:
                refused = refused_parameter(error, dialect.droppable & body.keys())
                failure = failure_of(error, self._endpoint)
            if refused is None:
                raise failure
            dialect.drop(refused, asked.model)

    async def _hear(self, stream: Any, reader: StreamReader, assembly: Assembly, watch: Watch) -> None:
        """Everything to the end of the answer."""
        kind = str(stream.response.headers.get("content-type") or "").partition(";")[0].strip().lower()
        if kind != "text/event-stream":
            raise not_understood(
                self._endpoint, f"{kind or 'no content type'} where text/event-stream was due"
            )
        chunks = aiter(stream)
        while not assembly.is_over and not assembly.is_stopped:
            chunk = await self._mapped(lambda: watch.within(lambda: anext(chunks, None)))
            if chunk is None:
                break
            heard = await self._mapped(partial(_read, reader, chunk))
            for one in heard:
                self._take(one, assembly, watch)
        if assembly.reason is None and not assembly.is_stopped:
            raise was_cut(self._endpoint)
        assembly.finish()

    def _take(self, heard: Heard, assembly: Assembly, watch: Watch) -> None:
        match heard:
            case Said():
                watch.said()
                assembly.say(heard)
            case CallPiece():
                watch.said()
                assembly.call(heard)
            case Used():
                assembly.use(heard)
            case Ended():
                assembly.reason = heard.reason
            case ModelDeclined():
                raise declined(self._endpoint, heard.why)
            case Over():
                assembly.is_over = True
        if assembly.chars > self._most_chars:
            raise not_understood(self._endpoint, f"an answer of more than {self._most_chars} characters")

    def _reply(
        self, assembly: Assembly, watch: Watch, form: HeldForm | None, model: str, dropped: int
    ) -> PromptReply:
        reason = FinishReason.STOP if assembly.is_stopped else assembly.reason
        assert reason is not None, "an answer that was heard to its end has a reason"
        calls = assembly.calls(self._names.decoded)
        if calls and reason is FinishReason.STOP:
            reason = FinishReason.CALLS
        is_done = reason is FinishReason.STOP
        if form is not None and is_done and (assembly.held or not assembly.has_reasoning):
            try:
                assembly.tell_whole(form.text_of(assembly.held))
            except ValueError as error:
                why = f"it does not hold to the form that was asked for: {error}"
                raise not_understood(self._endpoint, why) from None
        elif form is not None and assembly.held:
            assembly.tell_whole(assembly.held)
        cut: PartKind | None = None
        if reason is not FinishReason.CALLS and assembly.has_reasoning and not assembly.has_text:
            cut = "reasoning"
        elif not is_done and reason is not FinishReason.CALLS:
            cut = "text"
        parts = assembly.parts
        tokens = self._tokens(assembly)
        return PromptReply(
            text=joined(parts),
            finish_reason=reason,
            model=model,
            tokens=tokens,
            duration_s=watch.duration_s,
            first_token_s=watch.first_token_s,
            dropped_messages=dropped,
            parts=parts,
            cut=cut,
            calls=calls if reason is FinishReason.CALLS else (),
            cost=self._cost(tokens),
        )

    @staticmethod
    def _tokens(assembly: Assembly) -> TokenCounts:
        usage = assembly.usage
        if usage.evaluated is None or usage.generated is None:
            return TokenCounts(untold=1)
        return TokenCounts(
            evaluated=usage.evaluated,
            reused=usage.reused or 0,
            generated=usage.generated,
            reasoning=usage.reasoning or 0,
        )

    def _cost(self, tokens: TokenCounts) -> float | None:
        """By the declared prices; None if they are not declared, or the tokens not told."""
        prices = self._declared.input_price, self._declared.output_price
        if prices[0] is None or prices[1] is None or tokens.untold:
            return None
        prompt = tokens.evaluated + tokens.reused
        return (prompt * prices[0] + tokens.generated * prices[1]) / 1_000_000

    async def _mapped(self, call: Callable[[], Awaitable[T]]) -> T:
        """What goes wrong at the endpoint comes out as an error of the tree, without what it was made of."""
        try:
            return await call()
        except (SamovarError, TimeUp):
            raise
        except Exception as error:
            failure = failure_of(error, self._endpoint)
        raise failure  # out here, so that no request, which has the key, hangs on it


async def _read(reader: StreamReader, chunk: Any) -> list[Heard]:
    return list(reader.read(chunk))
