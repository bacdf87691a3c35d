"""Conditions and computed values: expressions, read once and evaluated against variables.

Above: transitions, `Set name := …`, conditions of parameters. Below: the parser, the compiler, the checks of
types. The grammar and the functions are CEL's, with numbers of both kinds computed together and without CEL's
unsigned and optional values. `default` as a label is not an expression: transitions know it.

A value with parts (`values.Record`) is its text by its bare name and has parts by `name.part`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from samovar.errors import ExpressionError, Fault, FaultsError, Fix, Place, Severity, TooLargeError
from samovar.expressions.absent import no_variable
from samovar.expressions.checking import TypeCheck
from samovar.expressions.compiling import compiled
from samovar.expressions.complaints import BadExpressionError
from samovar.expressions.evaluation import Evaluation, NoVariableError, Run
from samovar.expressions.kinds import WrongError
from samovar.expressions.meter import GivenUpError, Meter, OversizeError, SpentError
from samovar.expressions.parser import Parser
from samovar.expressions.results import kept
from samovar.expressions.tree import Literal, Name, Term, reads_of
from samovar.expressions.types import Type

MAX_LENGTH = 65_536
_MOST_SHOWN = 200


class Spelling(NamedTuple):
    """A spelling of another language that is read too."""

    place: Place
    old: str
    new: str


class _Program:
    """What evaluates an expression; made when it is evaluated first, since most of a large file's are not."""

    run: Run | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Expression:
    """An expression. Made by `Expression.parse`."""

    text: str
    """As written."""
    place: Place
    """Place of its first character."""
    names: frozenset[str]
    """The variables it reads."""
    needed: frozenset[str]
    """Those that must be there whatever the others hold."""
    defaulted: frozenset[str]
    """Those of them that need not be there: they are in `default(…)` only."""
    cel: str
    """The expression as CEL has it, with one blank between its tokens."""
    old_spellings: tuple[Spelling, ...]
    """Each spelling of JavaScript."""
    tree: Term = field(compare=False, repr=False)
    _program: _Program = field(compare=False, repr=False, default_factory=_Program)

    @classmethod
    def parse(cls, text: str, place: Place) -> Expression:
        """Reads an expression. Raises `FaultsError`: `condition-syntax` or `unknown-function`."""
        if len(text) > MAX_LENGTH:
            raise _fault(f"An expression has at most {MAX_LENGTH} characters, this one {len(text)}.", place)
        parser = Parser(text)
        try:
            tree = parser.whole()
        except BadExpressionError as error:
            raise _unreadable(text, error, place) from None
        return cls._of(text, place, parser, tree)

    @classmethod
    def parse_first(cls, text: str, begin: int, place: Place) -> tuple[Expression, int]:
        """Reads the expression that begins at an offset, and gives the offset behind it.

        It ends before a bracket that it did not open, and before whatever cannot continue behind an operand:
        a comma, a word, `key=`. The rest of the text is not read. Within it, `\\"` is a quote as `"` is.

        Args:
            text: With the expression in it.
            begin: Where it begins, or blanks before it.
            place: Of the text's first character.

        Raises:
            FaultsError: `condition-syntax` or `unknown-function`.
        """
        parser = Parser(text, begin)
        try:
            end = parser.first()
        except BadExpressionError as error:
            raise _unreadable(text, error, place, begin) from None
        # Once more by itself, so that offsets count from its own first character.
        begin = parser.start
        return cls.parse(text[begin:end], place.within(text, begin)), end

    @classmethod
    def parse_braced(cls, text: str, begin: int, place: Place) -> tuple[Expression, int]:
        """Reads the `${…}` that begins at an offset, and gives the offset behind its `}`.

        It ends at the `}` of its own depth. Within it, `\\"` is a quote as `"` is.

        Args:
            text: With the `${…}` in it.
            begin: Where it begins.
            place: Of its `$`.

        Raises:
            FaultsError: `condition-syntax` or `unknown-function`; for one without an end, at its `${`.
        """
        parser = Parser(text, begin + 2)
        try:
            end = parser.first()
            behind = parser.brace()
        except BadExpressionError as error:
            close = text.find("}", begin)
            if close < 0 or parser.is_at_end:
                message = "The `${` here does not end: a `}` is expected after its expression. "
                raise _fault(message + "Write $${ for a literal ${.", place) from None
            written = " ".join(text[begin : close + 1][:_MOST_SHOWN].split())
            message = f"{written!r} cannot be read: {error.complaint}"
            raise _fault(message, place.within(text[begin:], error.at - begin)) from None
        first = parser.start - begin
        return cls.parse(text[parser.start : end], place.within(text[begin:end], first)), behind

    @classmethod
    def _of(cls, text: str, place: Place, parser: Parser, tree: Term) -> Expression:
        if parser.unknown:
            raise FaultsError(
                [
                    Fault(code="unknown-function", message=message, place=place.within(text, at))
                    for at, message in parser.unknown
                ]
            )
        reads = list(reads_of(tree))
        needed = {read.name for read in reads if read.is_needed}
        names = frozenset(read.name for read in reads)
        return cls(
            text=text,
            place=place,
            names=names,
            defaulted=names - needed,
            needed=frozenset(read.name for read in reads if read.is_needed and read.is_sure),
            cel=" ".join(parser.spelled),
            old_spellings=tuple(Spelling(place.within(text, at), old, new) for at, old, new in parser.old),
            tree=tree,
        )

    @property
    def name(self) -> str | None:
        """The variable that it is, if it is nothing else."""
        return self.tree.name if isinstance(self.tree, Name) else None

    @property
    def quoted(self) -> str | None:
        """The expression that it has in quotes, if it is nothing but an expression in quotes."""
        if not isinstance(self.tree, Literal) or not isinstance(text := self.tree.value, str):
            return None
        try:
            Expression.parse(text, self.place)
        except FaultsError:
            return None
        return text

    def where(self, name: str) -> Place:
        """Where it reads a variable first."""
        return self._at(min((read.at for read in reads_of(self.tree) if read.name == name), default=0))

    def type(self, types: Mapping[str, Type]) -> Type:
        """What its value can be, if these are the types of variables; others may be anything."""
        return TypeCheck(self.text).of(self.tree, types)

    def check(
        self, types: Mapping[str, Type], *, is_condition: bool = False, severity: Severity = "error"
    ) -> tuple[Fault, ...]:
        """What cannot be right: comparisons that are never true, values that do not go together.

        Args:
            types: Of variables, as far as they are known.
            is_condition: It is asked whether it is true; a text that may say no is a fault then.
            severity: Of the faults; what may be meant is a warning.
        """
        check = TypeCheck(self.text)
        if is_condition:
            check.condition(self.tree, types)
        else:
            check.of(self.tree, types)
        return tuple(
            Fault(
                code=one.code,
                message=one.message,
                place=self._at(one.at),
                severity="warning" if one.is_doubt else severity,
                fix=one.mended and Fix(place=self._at(one.mended[0]), old=one.mended[1], new=one.mended[2]),
            )
            for one in check.findings
        )

    def evaluate(
        self,
        variables: Mapping[str, object],
        *,
        meter: Meter | None = None,
        doubts: list[tuple[str, Place]] | None = None,
    ) -> object:
        """The value it has now.

        Args:
            variables: All that it may read.
            meter: What it may use; None gives what any expression may.
            doubts: Takes what may not be meant, as sentences with their places: a text that was compared with
                a number.

        Raises:
            ExpressionError: For a variable that is not there, naming the nearest, for anything that cannot be
                computed, and for what would take too many steps.
            TooLargeError: For what would take too many bytes.
        """
        for name in self.needed:
            if name not in variables:
                raise self._error(no_variable(name, variables))
        evaluation = Evaluation(variables, meter or Meter())
        try:
            if self._program.run is None:
                self._program.run = compiled(self.tree)
            return kept(self._program.run(evaluation), evaluation.meter)
        except NoVariableError as error:
            raise self._error(no_variable(error.name, variables), error.at) from error
        except WrongError as error:
            raise self._error(error.message, max(error.at, 0)) from error
        except OversizeError as error:
            what = f"The value of `{self._shown}`"
            raise TooLargeError(what, error.most_bytes, place=self.place) from None
        except SpentError as error:
            advice = "Use shorter lists or texts, or fewer macros in one expression."
            raise self._error(f"This cannot be computed: {error}. {advice}") from error
        except GivenUpError:
            raise self._error("The computation was stopped.") from None
        except RecursionError:
            raise self._error("A value is nested too deeply.") from None
        finally:
            if doubts is not None:
                found = evaluation.doubts.items()
                doubts += [(f"{message} In: {self._shown}", self._at(at)) for at, message in found]

    @property
    def _shown(self) -> str:
        return self.text if len(self.text) <= _MOST_SHOWN else self.text[: _MOST_SHOWN - 1] + "…"

    def _at(self, at: int) -> Place:
        return self.place.within(self.text, at)

    def _error(self, message: str, at: int = 0) -> ExpressionError:
        return ExpressionError(f"{message} In: {self._shown}", place=self._at(at))


def _fault(message: str, place: Place) -> FaultsError:
    return FaultsError([Fault(code="condition-syntax", message=message, place=place)])


def _unreadable(text: str, error: BadExpressionError, place: Place, begin: int = 0) -> FaultsError:
    written = text[begin:]
    if len(written) > _MOST_SHOWN:
        first = max(error.at - begin - _MOST_SHOWN // 2, 0)
        written = ("…" if first else "") + written[first : first + _MOST_SHOWN] + "…"
    message = f"The expression {written!r} cannot be read: {error.complaint}"
    return _fault(message, place.within(text, min(error.at, len(text))))
