"""What the dialects share: the models that clients may name, the limits, and what a client asks for.

Above: the dialects, one or more files each, and `serve/`, which makes a `ModelApi`. Below: the waist. A
dialect turns a body into an `ApiRequest`, and the events and the reply of the waist into its own words.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from samovar.dialects.failures import ApiFailure, ApiRefusedError
from samovar.errors import nearest
from samovar.executors.base import Executor
from samovar.generation import Message, Options

Client = Callable[[Mapping[str, Any]], str]
"""By the ASGI scope of a request: who asks. Clients do not see each other's conversations."""


def _anyone(scope: Mapping[str, Any]) -> str:
    return ""


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelEntry:
    """A model that clients may name."""

    id: str
    """What they call it."""
    reference: str | None = None
    """What the executor is asked for; None: the id."""
    created: int = 0
    """Seconds since 1970; 0 if that is not known."""
    answers: bool = True
    embeds: bool = False
    continues: bool = True
    """Its executor has named conversations, and copies of them; else all that was said is sent each time."""
    executor: Executor | None = None
    """Who answers; None: the API's own."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ApiLimits:
    """What one client may take."""

    body_bytes: int = 32_000_000
    """Of a request."""
    answer_tokens: int = 2048
    """Of an answer for which the client sets no limit."""
    texts: int = 2048
    """That one request may have embedded."""
    conversations: int = 1000
    """Answers of which it is remembered what led to them, the latest ones."""
    characters: int = 64_000_000
    """Of all that is remembered so."""
    sessions: int = 64
    """Conversations that are held open, the latest ones: what they have said is not given up for others."""
    claim_s: float = 300.0
    """A conversation is held open for so long after it was last of use."""
    ping_s: float = 10.0
    """A stream that has nothing to say for so long says that it is there."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelApi:
    """What the routes are made over."""

    executor: Executor
    """One that can embed, or count tokens, has `Embedder` and `Counter` too."""
    models: Callable[[], Sequence[ModelEntry]]
    """Asked for each request."""
    default_model: str | None = None
    """The id of the model for requests that name none, and for names that are known to mean any."""
    aliases: Mapping[str, str] = field(default_factory=dict)
    """Other names that clients may use, and the ids that they mean."""
    limits: ApiLimits = field(default_factory=ApiLimits)
    client_of: Client = _anyone

    def entry(self, name: str | None, *, embeds: bool = False, stands_for_any: bool = False) -> ModelEntry:
        """The model of that name. Raises `ApiRefusedError`.

        `stands_for_any`: a name that there is not means the default model.
        """
        entries = {one.id: one for one in self.models()}
        if not name:
            name = self.default_model or ""
            if name not in entries:
                raise ApiRefusedError(
                    ApiFailure(message="You must provide a model parameter.", param="model")
                )
        found = entries.get(name) or entries.get(self.aliases.get(name, ""))
        if found is None and stands_for_any and self.default_model is not None:
            found = entries.get(self.default_model)
        if found is None:
            message = f"The model {name[:200]!r} does not exist.{nearest(name[:200], entries)}"
            raise ApiRefusedError(
                ApiFailure(
                    status=404, message=message, code="model_not_found", param="model", kind="not_found"
                )
            )
        if not (found.embeds if embeds else found.answers):
            cannot = "cannot embed texts" if embeds else "cannot answer prompts"
            raise ApiRefusedError(ApiFailure(message=f"The model {found.id!r} {cannot}.", param="model"))
        return found


@dataclass(frozen=True, slots=True, kw_only=True)
class ApiRequest:
    """What a client asks for, in the waist's words."""

    entry: ModelEntry
    messages: tuple[Message, ...]
    """All of the conversation, at most one system message, which is first."""
    options: Options
    one_call: bool = False
    """At most one tool is to be called: of several calls, the first is given."""
    is_kept: bool = True
    """It may be continued by the id of its answer."""
    is_instructed: bool = False
    """The system message is of this answer alone: whoever goes on from it gives one anew."""
    session: str = ""
    """The id of the answer."""
