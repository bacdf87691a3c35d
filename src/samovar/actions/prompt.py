"""`Execute prompt "name"` and `Prompt "the text itself"`: a model answers a prompt.

The request goes through the waist; which executor and which model answer it is not known here.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import ClassVar, Self

from samovar.actions.answer_faults import failure, warn_if_cut
from samovar.actions.answers import answer_of, by_schema
from samovar.actions.base import Action, ActionContext, Outcome, brief
from samovar.actions.blocks import expect_text
from samovar.actions.form_options import found_schema, read_schema_option
from samovar.actions.given import Pair, Value, as_taken
from samovar.actions.options import Chosen, Using
from samovar.actions.question import Asking, no_answer
from samovar.actions.scanner import Scanner
from samovar.actions.tool_rounds import Rounds
from samovar.actions.verifying import Verify, effect_of_prompt, if_verified
from samovar.errors import Fault, Place
from samovar.events import PromptFigures
from samovar.executors.base import PromptReply, PromptRequest
from samovar.expressions.types import ANYTHING, FRACTIONAL, TEXT, WHOLE, Type, text_of
from samovar.generation import FinishReason, Message
from samovar.language.schema_types import type_of_schema
from samovar.language.schema_words import with_schema
from samovar.language.schemas import Schema
from samovar.language.template import Template
from samovar.language.workflow import Workflow
from samovar.library import Library

PARTS: Mapping[str, Type] = {
    "text": TEXT,
    "content": TEXT,
    "tokens": WHOLE,
    "finish_reason": text_of(map(str, FinishReason)),
    "duration_s": FRACTIONAL,
    "model": ANYTHING,
    "reasoning": ANYTHING,
    "session": ANYTHING,
    "json": ANYTHING,
    "dropped_messages": WHOLE,
}
"""All parts of an answer."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ExecutePrompt(Action):
    verb: ClassVar[str] = "prompt"
    effect: ClassVar[str | None] = effect_of_prompt()
    runs_command: ClassVar[bool] = if_verified(False, True)
    words: ClassVar[tuple[str, ...]] = ("execute", "prompt")
    asks_prompt: ClassVar[bool] = True
    takes_items: ClassVar[bool] = True
    form: ClassVar[str] = (
        'Execute prompt "name" [with key="value" …] [result="variable"] [timeout=5min] '
        '[using option=value …], or Prompt "the text itself" …'
    )

    place: Place
    name: Value | None
    """Name of the prompt in the library; None if the text itself is given."""
    inline: Value | None
    arguments: tuple[Pair, ...]
    using: Using
    result: str | None
    verify: Verify | None = None
    """The command that looks at its answer."""

    @classmethod
    def parse(cls, line: Scanner) -> ExecutePrompt:
        place, name, inline = line.where(), None, None
        if line.word("execute"):
            if not line.word("prompt"):
                line.fail(f"`prompt` is expected after `Execute`, {line.found()}.")
            name = line.expect_quoted("The name of the prompt")
        else:
            line.word("prompt")
            inline = expect_text(line, "The text of the prompt")
        arguments, options = list[Pair](), list[Pair]()
        result = None
        clause = arguments
        while not line.is_done:
            word = line.word("with", "using")
            if word:
                clause = arguments if word == "with" else options
            begin, pairs = line.at, line.pairs()
            if line.at == begin:
                line.fail(f"`with`, `using` or `key=value` is expected, {line.found()}.")
            for pair in pairs:
                if pair.key == "result":
                    result = line.variable(pair)
                elif pair.key == "timeout" and clause is arguments:
                    line.limit(pair.value)
                else:
                    clause.append(pair)
        verify = Verify.parse(line, options)
        using = Using.parse(line, options)
        line.end()
        return cls(
            place=place,
            name=name,
            inline=inline,
            arguments=tuple(arguments),
            using=using,
            result=result,
            verify=verify,
        )

    @property
    def names(self) -> frozenset[str]:
        values = [*(pair.value for pair in self.arguments), *filter(None, (self.name, self.inline))]
        names = frozenset().union(*(value.names for value in values)) | self.using.names
        names = names - {pair.key for pair in self.arguments} if self.inline else names
        return names | self.names_of_timeout | (self.verify.names if self.verify else frozenset())

    @property
    def sets(self) -> frozenset[str]:
        names = frozenset(self.verify.types) if self.verify else frozenset[str]()
        return names | {self.result} if self.result else names

    @property
    def types(self) -> Mapping[str, Type]:
        return {**(self.verify.types if self.verify else {}), **self._types_of_answer}

    @property
    def _types_of_answer(self) -> Mapping[str, Type]:
        if self.using.of("schema") is not None:  # whose fields only the workflow may know: `types_in`
            return {self.result: ANYTHING} if self.result else {}
        is_choice = self.using.of("choices") is not None
        answer = replace(
            TEXT,
            values=self.using.choices,
            parts=PARTS,
            is_closed=True,
            is_choice=is_choice,
            is_answer=is_choice,
        )
        return {self.result: answer} if self.result else {}

    def types_in(self, workflow: Workflow) -> Mapping[str, Type]:
        """As `types`, in a workflow that may have the schema of the answer."""
        schema = self._schema(workflow) if self.result else None
        if schema is None or self.result is None:
            return self.types
        whole = type_of_schema(schema)
        own = self.verify.types if self.verify else {}
        if "map" not in whole.kinds or whole == ANYTHING:  # only a text can know how sure it was
            is_text = whole.kinds == {"text"}
            is_closed = whole.is_closed and not is_text
            return {**own, self.result: replace(whole, is_answer=is_text, is_closed=is_closed)}
        kinds = whole.kinds - {"map"} | TEXT.kinds  # the fields of an object are parts of the text
        is_object = whole.kinds == {"map"}
        parts = {**PARTS, **whole.parts}
        return {**own, self.result: replace(whole, kinds=kinds, parts=parts, is_answer=is_object)}

    def _schema(self, workflow: Workflow) -> Schema | None:
        """The schema of the answer, if there is one that is known before the run."""
        value = self.using.of("schema")
        if value is None or not value.is_literal:
            return None
        try:
            option = read_schema_option(value.given)
            schema: Schema = json.loads(found_schema(option, workflow, may_be_file=True))
        except ValueError:
            return None
        return schema

    def faults(self, library: Library, workflow: Workflow) -> tuple[Fault, ...]:
        value, doubts = self.using.of("schema"), self.verify.doubts if self.verify else ()
        if value is None or not value.is_literal:
            return doubts
        try:
            found_schema(read_schema_option(value.given), workflow, may_be_file=True)
        except ValueError as error:
            message = f"`schema` cannot be {str(value.given)[:60]!r}: expected {error}"
            return (*doubts, Fault(code="unknown-schema", message=message, place=value.place))
        return doubts

    @property
    def doing(self) -> str:
        doing = self.verify.doing if self.verify else self.what
        tools = self.using.of("tools")
        if not self.using.has_tools or tools is None:
            return doing
        return f"{doing}; its model may call: {tools.template.text}"

    def with_result(self, name: str | None) -> Self:
        return replace(self, result=name)

    @property
    def what(self) -> str:
        value = self.name or self.inline
        return brief(value.template.text) if value else ""

    @property
    def texts(self) -> tuple[Template, ...]:
        return tuple(
            value.template for value in (self.inline, *(pair.value for pair in self.arguments)) if value
        )

    @property
    def is_repeatable(self) -> bool:
        return not self.using.has_tools  # what they have done would be done twice

    def no_answer(self, text: str) -> str | None:
        if self.using.has_tools and text in ("accept", "refuse"):  # what has changed of a server
            return None
        return no_answer(Asking(kind="tool", parts=()), text)  # tools, or the program that answers it

    async def perform(self, context: ActionContext) -> Outcome:
        chosen, messages = await context.compute(lambda: self._filled(context))

        def scoped(session: str | None) -> str | None:
            return None if session is None else context.defaults.session_scope + session

        request = PromptRequest(
            messages=messages,
            model=chosen.model,
            executor=chosen.executor,
            options=chosen.options,
            session=scoped(chosen.session),
            fork=scoped(chosen.fork),
        )
        if chosen.tools:
            rounds = Rounds(patterns=chosen.tools, most=chosen.tool_rounds, place=self.place)
            context = replace(context, ask=partial(rounds.ask, context))
        if self.verify is not None:
            return await self.verify.ask(
                context, request, lambda reply: self._outcome(context, reply, chosen)
            )
        return self._outcome(context, await context.ask(request), chosen)

    def _filled(self, context: ActionContext) -> tuple[Chosen, tuple[Message, ...]]:
        """What is asked, and how."""
        arguments = {pair.key: pair.value.of(context.variables) for pair in self.arguments}
        chosen = self.using.choose_in(context.workflow, context.variables, context.defaults)
        if chosen.system is not None or chosen.options.raw:  # which has no place for the default one
            system = chosen.system or ""
        else:
            system = _default_system(context)
        messages = [Message(role="system", content=system)] if system.strip() else []
        text = with_schema(self._text(context, arguments), chosen.options)
        messages.append(Message(role="user", content=text))
        return chosen, tuple(messages)

    def _text(self, context: ActionContext, arguments: Mapping[str, object]) -> str:
        if self.inline is not None:
            return self.inline.text({**context.surroundings, **context.variables, **arguments})
        assert self.name is not None
        name = self.name.text(context.variables)
        prompt = context.library.prompt(name, workflow=context.workflow)
        taken = as_taken(self.arguments, arguments, prompt.parameters)
        return prompt.render(taken, {**context.surroundings, **context.variables})

    def _outcome(self, context: ActionContext, reply: PromptReply, chosen: Chosen) -> Outcome:
        said = answer_of(reply, chosen.session)
        error = failure(reply, chosen, self.place)
        if error is None:
            warn_if_cut(context, reply, chosen)
        if reply.dropped_messages:
            context.warn(
                "The conversation became longer than its context: its oldest messages "
                f"({reply.dropped_messages}) were left out (overflow is drop_oldest)."
            )
        figures = PromptFigures(
            model=reply.model,
            finish_reason=reply.finish_reason,
            tokens=reply.tokens,
            options=chosen.options,
            duration_s=reply.duration_s,
            first_token_s=reply.first_token_s,
            session=chosen.session,
            fork=chosen.fork,
            dropped_messages=reply.dropped_messages,
            reasoning=reply.reasoning,
            cut=reply.cut,
            chosen=reply.chosen,
            executor=reply.executor,
            cost=reply.cost,
        )
        is_data = chosen.options.schema is not None and error is None
        answer: object = by_schema(said) if is_data else said
        sets = {self.result: answer} if self.result and error is None else {}
        return Outcome(value=answer, sets=sets, error=error, figures=figures)


def _default_system(context: ActionContext) -> str:
    """The workflow's own, else the prompt that the library has for it."""
    template = context.workflow.system
    if template is not None:
        return template.fill({**context.surroundings, **context.variables})
    prompt = context.library.system_prompt(context.workflow)
    return prompt.render({}, {**context.surroundings, **context.variables}) if prompt else ""
