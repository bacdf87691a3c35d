"""What one answer may call, and the grammar that holds it to that: text, then calls; or calls alone.

Above: `calling.py`, `chat.py`, `model.py`. Below: the syntaxes of calls. A call is valid by construction: its
name is that of a tool, and its arguments are what the tool's schema says.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from samovar.engines.call_reader import CallReader
from samovar.engines.call_schemas import literal
from samovar.engines.calls import CallSyntax, GrammarRules, Tool, escaped, quoted, sequence, without
from samovar.errors import UnmetError
from samovar.generation import Form, Options

MOST_NOTES = 4
"""Of one model: about prompts whose tools take much of their context."""
MOST_OF_CONTEXT = 0.25
"""The part of a context that definitions of tools may take unnoticed."""
TOOLS_NOTE = (
    "The definitions of {} tools take {} of {} tokens of the context ({}): offer fewer of them to a prompt, "
    "or give the model a larger context."
)
_LEAD = "[ \\n]{0,4}"
"""White space before the first call."""
_NO_GRAMMAR = (
    "An answer cannot be held to a grammar if it may be calls of tools: leave out `grammar` or `tools`."
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Offer:
    """What one answer may call, and how."""

    syntax: CallSyntax
    options: Options
    tools: tuple[Tool, ...]
    """Those that it may call."""
    before: int
    """How many calls the conversation has."""
    marks: Mapping[int, bytes] = field(default_factory=dict)
    """The control tokens that a call may have, and their texts."""
    opener: int | None = None
    """The one that begins a call, if there is one."""
    spelled: Mapping[str, str] = field(default_factory=dict)
    """The texts of the syntax with control tokens in them, as expressions of Lark."""

    def form(self, *, plain: bool = False, tools: Sequence[Tool] | None = None) -> Form | None:
        """What the answer is held to; None if to what the options say. `plain`: for no vocabulary.

        Raises `UnmetError`, which names the tool, for what cannot be enforced.
        """
        if not self.options.may_call and self.options.held_by:
            return None
        rules = GrammarRules(quoted if plain else self._spell)
        start = _start(rules, self, self.tools if tools is None else tools)
        return Form(kind="grammar", text=rules.grammar(start))

    def _spell(self, text: str) -> str:
        return self.spelled.get(text, quoted(text))

    def reader(self) -> CallReader | None:
        """What parts the answer's text from its calls; None if there will be none."""
        if not self.options.may_call:
            return None
        at_head = self.options.must_call or bool(self.options.held_by)
        reader = CallReader(self.syntax, self.tools, before=self.before, at_head=at_head)
        reader.by_token = self.opener is not None
        return reader

    def objection(self, ask: Callable[[Form], str | None]) -> str | None:
        """Why the answer cannot be held to it, whatever the model. `ask`: what there is against a form."""
        form = self.form(plain=True)
        if form is None or (reason := ask(form)) is None:
            return None
        for tool in self.tools:
            alone = self.form(plain=True, tools=[tool])
            if alone is not None and (of_tool := ask(alone)) is not None:
                return f"The tool {tool.name!r} cannot be offered: {_cause(of_tool)}"
        return reason


def _cause(reason: str) -> str:
    return reason.removeprefix("The grammar cannot be enforced: ")


def _start(rules: GrammarRules, offer: Offer, tools: Sequence[Tool]) -> str:
    """The expression of a whole answer."""
    options, syntax, is_token = offer.options, offer.syntax, rules.is_tokens(offer.syntax.trigger)
    held = _held(rules, options)
    barred = [] if is_token else [syntax.trigger]
    if syntax.at_head:
        name = re.match(r'(\{\s*"name")', syntax.trigger)
        head = name[1] if name else syntax.trigger
        text = f"/(?s:.+)/ & ~/{_LEAD}{escaped(head)}(?s:.*)/"
    else:
        text = f"/(?s:.+)/ & {without(*barred)}"
    if not options.may_call:
        return f"({rules.terminal(text)})?"
    rest = syntax.rest(rules, tools)
    if is_token:
        first = rules.text(syntax.trigger)
        if options.must_call or held:
            lead = rules.terminal("/[ \\n]{1,4}/")
            calls = f"({lead})? {first} {rest}"
            return calls if options.must_call else f"{held} | {calls}"
        return f"({rules.terminal(text)})? ({first} {rest})?"
    head = rules.terminal(f"/{_LEAD}/ {literal(syntax.trigger)}")
    if options.must_call:
        return sequence(head, rest)
    if held:
        return f"{held} | {head} {rest}"
    if not syntax.at_head:
        head = rules.terminal(f"({without(*barred)}) {literal(syntax.trigger)}")
    return f"({rules.terminal(text)})? | {head} {rest}"


def _held(rules: GrammarRules, options: Options) -> str:
    """The expression of an answer that is held to a form, and calls nothing; empty if to none."""
    form = options.form
    if options.choices:
        return rules.rule(" | ".join(map(quoted, options.choices)))
    if form is None:
        return ""
    if form.kind == "grammar":
        raise UnmetError(_NO_GRAMMAR)
    if form.kind == "regex":
        text = re.sub(r"(?<!\\)/", r"\\/", form.text).replace("\n", r"\n")
        return rules.terminal(f"/{text}/")
    try:
        schema = json.loads(form.text)
    except ValueError as error:
        raise UnmetError(f"The schema is not JSON: {error}.") from None
    return rules.json(schema if isinstance(schema, dict) else {}, (",", ":"))


def tools_note(options: Options, tools_tokens: int, context_tokens: int) -> tuple[str, ...]:
    """What a person should know if definitions leave little room for anything else."""
    part = tools_tokens / context_tokens
    if part <= MOST_OF_CONTEXT:
        return ()
    return (TOOLS_NOTE.format(len(options.tools), tools_tokens, context_tokens, f"{part:.0%}"),)
