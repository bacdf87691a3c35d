"""Reads an expression: CEL's grammar, tokens in, a tree with offsets out, in one pass.

Above: `expression.py`. Below: `reader.py`, `tree.py`, `complaints.py` for the message about mistakes, and the
names of the functions. Runs of operators are read in loops; what must nest, nests at most 64 deep.
"""

from __future__ import annotations

from samovar.expressions import tree
from samovar.expressions.complaints import after_operand, instead_of_operand
from samovar.expressions.functions import FUNCTIONS, NAMESPACES, SURENESS, arity_wrong, unknown_function
from samovar.expressions.reader import JAVASCRIPT, MOST_NESTED, TokenReader
from samovar.expressions.tokens import MOST_WHOLE, ExpressionToken, token_at
from samovar.expressions.tree import (
    MACROS,
    ItemOf,
    Literal,
    Macro,
    Method,
    Name,
    PartOf,
    Steps,
    Term,
    with_types,
)

RANKS = {
    "||": 1,
    "&&": 2,
    **dict.fromkeys(("==", "!=", "<", "<=", ">", ">=", "in", "===", "!=="), 3),
    **dict.fromkeys(("+", "-"), 4),
    **dict.fromkeys(("*", "/", "%"), 5),
}
"""How strongly an operator binds."""
_LOGIC = (1, 2)
_RELATION = 3
_DEFAULT = "`default` takes the path of a value first, as in default(answer.json.k, 0)."
_CHOICE = "`{name}` takes the path of a choice in an answer, as in {name}(verdict.team)."
_CONSTANTS = {"true": True, "false": False, "null": None}


class Parser(TokenReader):
    """Reads one expression, from an offset of a text. Changed by each token that is taken."""

    def whole(self) -> Term:
        """The expression that the text is, to its end. Raises `BadExpressionError`."""
        found = self._expression()
        if self._token.kind != "end":
            self._fail(after_operand(self._token, self._behind()))
        return found

    def first(self) -> int:
        """Where the expression ends that is here first. Raises `BadExpressionError`.

        It ends after an operand that no operator follows: at a bracket that it did not open, at a
        comma, at another word.
        """
        self._expression()
        if self._token.kind == "bad":
            self._fail(after_operand(self._token, self._behind()))
        return self._end

    # Expressions.

    def _expression(self) -> Term:
        condition = self._operation(1)
        if not self._is("?"):
            return condition
        mark = self._take()
        if self._token.at == mark.end and self._token.text in (":", "?", "."):
            sign = f"?{self._token.text}"
            path = self.text[condition.at : condition.end]
            instead = f"`default({path}, value)` is the value if a part of the path is missing."
            self._fail(f"There is no `{sign}` here: {instead}", mark.at)
        self._choices += 1
        if self._choices > MOST_NESTED:
            self._fail(f"An expression has at most {MOST_NESTED} ternaries.", self.start)
        then = self._expression()
        self._expect(":", "`:` and another value are expected, as in `a ? b : c`.")
        otherwise = self._expression()
        self._choices -= 1
        return tree.Ternary(condition.at, self._end, condition, then, otherwise)

    def _rank(self) -> int:
        token = self._token
        return RANKS.get(token.text, 0) if token.kind == "mark" or token.text == "in" else 0

    def _operation(self, least: int) -> Term:
        self._enter()
        left = self._signs()
        while (rank := self._rank()) >= least:
            rest: list[tuple[str, Term]] = []
            while self._rank() == rank:
                rest.append((self._operator(), self._operation(rank + 1)))
            if rank in _LOGIC:
                parts = (left, *(operand for _, operand in rest))
                left = tree.Logic(left.at, self._end, rest[0][0], parts)
            else:
                left, rest = with_types(left, rest) if rank == _RELATION else (left, rest)
                left = tree.Operation(left.at, self._end, left, tuple(rest))
        self._deep -= 1
        return left

    def _operator(self) -> str:
        token = self._token
        sign = JAVASCRIPT.get(token.text, token.text)
        if sign != token.text:
            self.old.append((token.at, token.text, sign))
        self._take(sign)
        return sign

    def _signs(self) -> Term:
        at = self._token.at
        signs: list[str] = []
        while self._token.kind == "mark" and self._token.text in ("!", "-"):
            signs.append(self._take().text)
        if len(signs) > MOST_NESTED:
            self._fail(f"An expression has at most {MOST_NESTED} signs in a row.", self.start)
        if signs and signs[-1] == "-" and self._token.kind == "number":
            operand = self._steps(self._number(negative=True))
            signs.pop()
        else:
            operand = self._steps(self._operand())
        return tree.Signs(at, self._end, tuple(reversed(signs)), operand) if signs else operand

    def _number(self, *, negative: bool = False) -> Term:
        at = self._token.at - (1 if negative else 0)
        value = self._token.value
        assert isinstance(value, int | float)
        value = -value if negative else value
        if value == MOST_WHOLE and isinstance(value, int):
            self._fail("A whole number goes up to 9223372036854775807 (64 bits).", self._token.at)
        token = self._take()
        return Literal(at, token.end, value)

    # Operands.

    def _operand(self) -> Term:
        token = self._token
        if token.kind == "number":
            return self._number()
        if token.kind == "text":
            self._take()
            return Literal(token.at, token.end, token.value)
        if token.kind == "name" and token.text != "in":
            return self._name()
        if self._is("("):
            self._take()
            inner = self._within(self._expression)
            self._expect(")", "A bracket `)` is expected.")
            inner.at, inner.end = token.at, self._end
            return inner
        if self._is("["):
            return self._list()
        if self._is("{"):
            return self._map()
        self._fail(instead_of_operand(token, self._behind()))

    def _name(self) -> Term:
        token = self._take()
        if token.text in _CONSTANTS:
            return Literal(token.at, token.end, _CONSTANTS[token.text])
        if not self._is("("):
            return Name(token.at, token.end, token.text)
        if token.text == "has":
            return self._has(token)
        if token.text == "default":
            return self._default(token)
        if token.text in SURENESS:
            return self._sureness(token)
        name = self._function(token.text, token.at)
        arguments = self._arguments()
        self._check_count(name, len(arguments), token.at)
        return tree.Call(token.at, self._end, name, arguments)

    def _arguments(self) -> tuple[Term, ...]:
        self._take()
        return self._items(")")

    def _items(self, closing: str) -> tuple[Term, ...]:
        """Values with commas between them, to the bracket that closes them; a last comma is let go."""
        items: list[Term] = []
        while not self._is(closing):
            items.append(self._within(self._expression))
            if not self._is(","):
                break
            self._take()
        self._expect(closing, f"A comma or the bracket `{closing}` is expected.")
        return tuple(items)

    def _list(self) -> Term:
        at = self._take().at
        items = self._items("]")
        return tree.ListOf(at, self._end, items)

    def _map(self) -> Term:
        at = self._take().at
        pairs: list[tuple[Term, Term]] = []
        while not self._is("}"):
            key = self._within(self._expression)
            self._expect(":", "A key and `:` are expected, as in {'key': value}.")
            pairs.append((key, self._within(self._expression)))
            if not self._is(","):
                break
            self._take()
        self._expect("}", "A comma or the bracket `}` is expected.")
        return tree.MapOf(at, self._end, tuple(pairs))

    def _has(self, name: ExpressionToken) -> Term:
        (path,) = self._exactly(self._arguments(), 1, "has(path.name)", name)
        if not isinstance(path, Steps) or not isinstance(path.steps[-1], PartOf):
            self._fail("`has` takes a path that ends with a name, as in has(answer.json).", path.at)
        return tree.Has(name.at, self._end, path)

    def _default(self, name: ExpressionToken) -> Term:
        path, otherwise = self._exactly(self._arguments(), 2, "default(path, value)", name)
        return tree.Default(name.at, self._end, self._path(path, _DEFAULT), otherwise)

    def _sureness(self, name: ExpressionToken) -> Term:
        (path,) = self._exactly(self._arguments(), 1, f"{name.text}(path)", name)
        path = self._path(path, _CHOICE.format(name=name.text))
        return tree.Sureness(name.at, self._end, name.text, path)

    def _path(self, found: Term, form: str) -> Name | Steps:
        """A value as the path that it must be."""
        path = tree.as_path(found)
        return self._fail(form, found.at) if path is None else path

    # What comes after a value.

    def _steps(self, base: Term) -> Term:
        steps: list[PartOf | ItemOf | Macro | Method] = []
        while True:
            if self._is("."):
                self._take()
                if not steps and (call := self._namespaced(base)) is not None:
                    base = call
                    continue
                steps.append(self._member())
            elif self._is("["):
                at = self._take().at
                key = self._within(self._expression)
                self._expect("]", "A bracket `]` is expected.")
                steps.append(ItemOf(at, self._end, key))
            else:
                break
        return Steps(base.at, self._end, base, tuple(steps)) if steps else base

    def _namespaced(self, base: Term) -> Term | None:
        """The call of a function such as `math.abs`; None if it is none."""
        if not isinstance(base, Name) or base.name not in NAMESPACES or self._token.kind != "name":
            return None
        name = f"{base.name}.{self._token.text}"
        if name not in FUNCTIONS:
            return None
        follows = token_at(self.text, self._token.end)
        if follows.text != "(" or follows.kind != "mark":
            return None
        self._take()
        arguments = self._arguments()
        self._check_count(name, len(arguments), base.at)
        return tree.Call(base.at, self._end, name, arguments)

    def _member(self) -> PartOf | Macro | Method:
        token = self._token
        if token.kind != "name":
            self._fail(f"The name of a part is expected after the dot, found {self._found()}.")
        name = JAVASCRIPT.get(token.text, token.text)
        follows = token_at(self.text, token.end)
        if follows.kind != "mark" or follows.text != "(":
            self._take()
            return PartOf(token.at, token.end, token.text)
        if name != token.text:
            self.old.append((token.at, token.text, name))
        self._take(name)
        if name in MACROS:
            return self._macro(name, token.at)
        name = self._function(name, token.at)
        arguments = self._arguments()
        self._check_count(name, len(arguments) + 1, token.at)
        return Method(token.at, self._end, name, arguments)

    def _macro(self, kind: str, at: int) -> Macro:
        arguments = self._arguments()
        most = 3 if kind == "map" else 2
        if not 2 <= len(arguments) <= most or not isinstance(arguments[0], Name):
            self._fail(f"The form is `list.{kind}(item, {'value' if kind == 'map' else 'condition'})`.", at)
        return Macro(at, self._end, kind, arguments[0].name, arguments[1:])

    # Functions.

    def _function(self, name: str, at: int) -> str:
        if name not in FUNCTIONS:
            self.unknown.append((at, unknown_function(name)))
        return name

    def _check_count(self, name: str, count: int, at: int) -> None:
        if name in FUNCTIONS and (wrong := arity_wrong(name, count)) is not None:
            self._fail(wrong, at)
