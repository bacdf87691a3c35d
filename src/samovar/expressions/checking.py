"""Mistakes in an expression, as far as the types of its variables are known.

Above: `expression.py`. Below: the tree, `types.py`, `typing_rules.py`. It evaluates nothing, and what is not
known is right.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from samovar.errors import nearest
from samovar.expressions.complaints import Finding, form_of_part
from samovar.expressions.functions import FUNCTIONS
from samovar.expressions.kinds import WrongError, either
from samovar.expressions.sides import Side, form_of, shown, why_not
from samovar.expressions.sureness import not_a_choice, type_of_sureness
from samovar.expressions.text_functions import pattern_of
from samovar.expressions.tree import (
    Call,
    Default,
    Has,
    ItemOf,
    ListOf,
    Literal,
    Logic,
    Macro,
    MapOf,
    Method,
    Name,
    Operation,
    PartOf,
    Signs,
    Steps,
    Sureness,
    Term,
    Ternary,
    TypeName,
)
from samovar.expressions.types import (
    ANYTHING,
    BOOL,
    TEXT,
    WITH_PARTS,
    Type,
    list_of,
    text_of,
    type_of_value,
    union,
)
from samovar.expressions.typing_rules import (
    always_true,
    cannot_be_ordered,
    computed,
    never_equal,
    never_found,
    result_of,
    right_form,
    surely_no,
    unsure_truth,
    yes_of,
)

Scope = Mapping[str, Type]


@dataclass(slots=True)
class TypeCheck:
    """Goes through one expression. Changed by what it finds."""

    text: str
    """The expression as written; offsets of the tree are in it."""
    findings: list[Finding] = field(default_factory=list)

    def condition(self, tree: Term, types: Scope) -> None:
        """Checks an expression that is a condition."""
        found, shown = self.of(tree, types), self._shown(tree)
        if texts := unsure_truth(found):
            what = f"is {found}" if found.values else f"can be {text_of(map(str, texts))}"
            message = (
                f"`{shown}` {what}, and any text that is not empty is true. Write the value to compare with, "
                f'as in `{shown} == "{yes_of(texts)}"`.'
            )
            self._say("text-as-truth", message, tree)
        elif doubt := always_true(shown, found):
            self.findings.append(Finding("text-as-truth", doubt, tree.at, is_doubt=True))

    def of(self, node: Term, types: Scope) -> Type:
        """The type of a part, which is checked."""
        match node:
            case Literal(value=value):
                return type_of_value(value)
            case TypeName():
                return Type(kinds=frozenset(("type",)))
            case Name(name=name):
                return types.get(name, ANYTHING)
            case Steps(base=base, steps=steps):
                found = self.of(base, types)
                for step in steps:
                    found = self._step(step, found, node, types)
                return found
            case Call(name=name, arguments=arguments):
                return self._call(name, [self.of(one, types) for one in arguments], node, at=node.at)
            case Operation():
                return self._operation(node, types)
            case Logic(sign=sign, parts=parts):
                for part in parts:
                    self._must_be_truth(part, self.of(part, types), f"beside `{sign}`")
                return BOOL
            case Signs():
                return self._signs(node, types)
            case Ternary(condition=condition, then=then, otherwise=otherwise):
                self._must_be_truth(condition, self.of(condition, types), "before `?`")
                return union((self.of(then, types), self.of(otherwise, types)))
            case Has(path=path):
                self.of(path, types)  # what can never be there is not asked for
                return BOOL
            case Sureness(path=path):
                found, shown = self.of(path, types), self._shown(path)
                if message := not_a_choice(node, found, shown, lambda term: self._quietly(term, types)):
                    self._say("not-a-choice", message, path)
                return type_of_sureness(node)
            case Default(path=path, otherwise=otherwise):
                return union((self.of(path, types), self.of(otherwise, types)))
            case ListOf(items=items):
                return list_of(union([self.of(one, types) for one in items]))
            case MapOf():
                return self._map(node, types)
        return ANYTHING

    def _quietly(self, path: Term, types: Scope) -> Type:
        """The type of a path that need not lead anywhere."""
        return TypeCheck(self.text).of(path, types)

    def _map(self, node: MapOf, types: Scope) -> Type:
        found: dict[str, Type] = {}
        for key, value in node.pairs:
            self.of(key, types)
            type_ = self.of(value, types)
            if isinstance(key, Literal) and isinstance(key.value, str):
                if key.value in found:
                    self._say("type-mismatch", f"The key {key.value[:40]!r} appears twice in this map.", key)
                found[key.value] = type_
        is_closed = len(found) == len(node.pairs)
        return Type(kinds=frozenset(("map",)), parts=found, is_closed=is_closed)

    # Steps.

    def _step(self, step: PartOf | ItemOf | Macro | Method, found: Type, node: Steps, types: Scope) -> Type:
        if isinstance(step, Method):
            arguments = [self.of(one, types) for one in step.arguments]
            return self._call(step.name, [found, *arguments], step, at=node.at)
        if isinstance(step, Macro):
            return self._macro(step, found, types)
        if isinstance(step, ItemOf):
            key = self.of(step.key, types)
            if found.item is not None and found.kinds == {"list"}:
                return found.item
            name = key.values[0] if key.values is not None and len(key.values) == 1 else None
            if not isinstance(name, str) or not ("map" in found.kinds and found.is_closed):
                return found.parts.get(name, ANYTHING) if isinstance(name, str) else ANYTHING
        else:
            name = step.name
        if name in found.parts:
            return found.parts[name]
        can_have = found.kinds & WITH_PARTS
        if not can_have or found.is_closed:
            behind = self.text[node.at : step.at].rstrip().rstrip(".").rstrip()
            offer, form = nearest(name[:100], found.parts) if found.parts else "", form_of_part(name, behind)
            what = f"is {either(found.kinds)}, which" if not can_have else ""
            said = f"`{behind}` {what} has no part {name!r}.".replace("  ", " ")
            said += f" Write `{form}`." if form else offer
            is_sure = form and found.kinds == {"list"}
            mended = (node.at, self.text[node.at : step.end], form) if is_sure else None
            self.findings.append(Finding("type-mismatch", said, step.at, mended=mended))
        return ANYTHING

    def _macro(self, step: Macro, found: Type, types: Scope) -> Type:
        if not found.kinds & {"list", "map"}:
            self._say(
                "type-mismatch",
                f"{step.kind!r} goes through a list or a map, not {either(found.kinds)}.",
                step,
            )
        item = found.item or ANYTHING if found.kinds == {"list"} else ANYTHING
        if found.kinds == {"map"}:
            item = TEXT
        within = {**types, step.variable: item}
        bodies = [self.of(body, within) for body in step.bodies]
        if step.kind == "map":
            if len(bodies) == 2:
                self._must_be_truth(step.bodies[0], bodies[0], "in `map`")
            return list_of(bodies[-1])
        self._must_be_truth(step.bodies[0], bodies[0], f"in {step.kind!r}")
        return list_of(item) if step.kind == "filter" else BOOL

    def _call(self, name: str, values: list[Type], node: Term, *, at: int) -> Type:
        function = FUNCTIONS[name]
        if not function.is_open:
            for value, takes in zip(values, function.takes, strict=False):
                if not value.kinds & takes:
                    message = f"The function {name!r} takes {either(takes)}, not {value}."
                    self._say("type-mismatch", message, node)
        pattern = values[1].values if name in ("matches", "find", "findAll") and len(values) == 2 else None
        if pattern is not None and len(pattern) == 1 and isinstance(pattern[0], str):
            self._pattern(pattern[0], node)
        if len(values) == 2 and never_found(name, *values):
            where, shown = values[0].item or values[0], " ".join(self.text[at : node.end].split())
            message = f"`{shown[:60]}` is never true: it looks into {where}."
            self.findings.append(Finding("type-mismatch", message, at))
        if function.item is None:
            return Type(kinds=function.gives)
        taken = values[0].item if values else None
        item = taken if function.item == "same" else Type(kinds=function.item)
        if name in ("first", "last"):
            return item or ANYTHING
        kinds = values[0].kinds if function.item == "same" else frozenset()
        return Type(kinds=function.gives & kinds or function.gives, item=item)

    def _pattern(self, text: str, node: Term) -> None:
        try:
            pattern_of(text)
        except WrongError as error:
            self._say("type-mismatch", error.message, node)

    # Operators.

    def _operation(self, node: Operation, types: Scope) -> Type:
        left, at = self.of(node.first, types), node.first
        for sign, operand in node.rest:
            right = self.of(operand, types)
            self._operator(sign, (left, at), (right, operand))
            left, at = result_of(sign, left, right), node
        return left

    def _operator(self, sign: str, one: Side, other: Side) -> None:
        (left, first), (right, second) = one, other
        why = why_not(self.text, one, other)
        both = self.text[first.at : second.end]
        if sign in ("==", "!="):
            if never_equal(left, right):
                what = "always" if sign == "!=" else "never"
                form = form_of(self.text, sign, one, other)
                message = f"`{both}` is {what} true: {why}.{form}"
                self._say("type-mismatch", message, first)
        elif sign == "in":
            if not right.kinds & {"list", "map"}:
                message = f"`{both}`: `in` looks into a list or a map, not {either(right.kinds)}."
                self._say("type-mismatch", message, first)
            elif right.kinds == {"list"} and right.item is not None and never_equal(left, right.item):
                items = f"each item of `{self._shown(second)}` is {right.item}"
                self._say("type-mismatch", f"`{both}` is never true: {items}.", first)
            elif isinstance(second, ListOf):
                self._items_in_vain(first, left, second)
        elif sign in ("<", "<=", ">", ">="):
            if cannot_be_ordered(left, right):
                form = form_of(self.text, sign, one, other)
                message = f"`{both}` cannot be compared: {why}.{form}"
                self._say("type-mismatch", message, first)
        elif computed(sign, left, right) is None:
            advice = " string(…) converts a value to text." if sign == "+" else ""
            self._say("type-mismatch", f"`{both}` cannot be computed: {why}.{advice}", first)

    def _items_in_vain(self, first: Term, left: Type, among: ListOf) -> None:
        """Items of a written list that the value can never be, and that are near to what it can."""
        known = self._shown(first)
        for item in among.items:
            if isinstance(item, Literal) and never_equal(left, type_of_value(item.value)):
                offer = right_form(known, "==", left, item.value)
                said = f"`{known}` is {left}, and never {self._shown(item)}.{offer}"
                self.findings += [Finding("type-mismatch", said, item.at)] if offer else []

    def _signs(self, node: Signs, types: Scope) -> Type:
        found = self.of(node.operand, types)
        for sign in node.signs:
            if sign == "!":
                self._must_be_truth(node.operand, found, "behind `!`")
                found = BOOL
            elif not found.kinds & {"int", "double"}:
                self._say("type-mismatch", f"`-` takes a number, not {either(found.kinds)}.", node)
                found = ANYTHING
            else:
                found = Type(kinds=found.kinds & {"int", "double"})
        return found

    def _must_be_truth(self, node: Term, found: Type, where: str) -> None:
        if not surely_no(found, "bool"):
            return
        shown = self._shown(node)
        advice = ""
        if found.kinds == {"text"}:
            first = found.values[0] if found.values else "yes"
            advice = f' Write the value to compare with, as in `{shown} == "{first}"`.'
        self._say("type-mismatch", f"`{shown}` {where} must be true or false, but is {found}.{advice}", node)

    def _shown(self, node: Term) -> str:
        return shown(self.text, node)

    def _say(self, code: str, message: str, node: Term) -> None:
        self.findings.append(Finding(code, message, node.at))
