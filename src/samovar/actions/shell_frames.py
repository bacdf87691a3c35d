"""The open constructs at a place in a shell command: quotes, brackets, compound commands, pipelines.

Above: `shell_syntax.py`, which opens and closes it. Below: `shell_words.py`. A frame is what quotes or
brackets make; the flow of one says which commands may read a value from their standard input.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from samovar.actions.shell_words import SimpleCommand

OPENERS = {
    "{": "}",
    "if": "fi",
    "while": "done",
    "until": "done",
    "for": "done",
    "select": "done",
    "case": "esac",
}
"""The words that begin a compound command, each with the one that ends it."""
CLOSERS = frozenset(OPENERS.values())
BETWEEN = frozenset(("then", "else", "elif", "do", "!", "in"))
"""Stand within a compound command, or before a command; a command follows."""


@dataclass(slots=True)
class Compound:
    """An open `if`, `{` or the like."""

    ends: str
    fed: int | None
    """A value that it may read from its standard input."""
    held: int | None = None
    """A value that it may write."""


@dataclass(slots=True)
class Flow:
    """Where values go within one frame, from command to command. `None`: no value."""

    base: int | None = None
    """What the whole frame may read from its standard input."""
    fed: int | None = None
    """What the present command may read."""
    held: int | None = None
    """What the present part of a pipeline may write."""
    any: int | None = None
    """What has been written at all so far."""
    compounds: list[Compound] = field(default_factory=list)
    is_after_group: bool = False
    """A compound command has just ended; what is redirected now is redirected for all of it."""
    is_piped: bool = False
    """A `|` has been read, and nothing of the command behind it: a line that ends here ends nothing."""

    def hold(self, number: int | None) -> None:
        """The present command may write this value."""
        if number is not None:
            self.held = number if self.held is None else self.held
            self.any = number if self.any is None else self.any

    def open(self, keyword: str) -> None:
        self.compounds.append(Compound(OPENERS[keyword], self.fed))
        self.held = None

    def close(self, keyword: str) -> None:
        """A word ends a compound command. One that ends another kind ends none, but may have been meant."""
        self.is_after_group = True
        if self.compounds and self.compounds[-1].ends == keyword:
            compound = self.compounds.pop()
            self.fed = compound.fed
            self.hold(compound.held)
        else:
            self.hold(self.any)

    def pipe(self) -> None:
        """The present command writes to the next one."""
        self.fed, self.held = self.held if self.held is not None else self.fed, None
        self.is_after_group, self.is_piped = False, True

    def end(self) -> None:
        """The present pipeline ends."""
        if self.compounds:
            compound = self.compounds[-1]
            compound.held = self.held if compound.held is None else compound.held
            compound.held = self.fed if compound.held is None else compound.held
            self.fed = compound.fed
        else:
            self.fed = self.base
        self.held, self.is_after_group, self.is_piped = None, False, False


@dataclass(slots=True, eq=False)
class ShellFrame:
    """The open constructs: the whole command, or a construct within it."""

    kind: str
    """`bare`, `double`, `single`, `parameter`, `arithmetic`, `backtick`."""
    closes: str = ""
    """For a bare frame: the bracket that ends it, nothing for the whole command."""
    gives: str = ""
    """For a bare frame, what its content becomes part of: a word (`$(…)`, `<(…)`, `=(…)`), or nothing."""
    depth: int = 0
    """Depth of brackets within an arithmetic frame."""
    outer: ShellFrame | None = None
    """The innermost bare frame around one of another kind."""
    is_quoted: bool = False
    """Double quotes are open since the innermost bare frame began."""
    is_arithmetic: bool = False
    """It is within arithmetic."""
    split: str | None = None
    """Why what it gives must not hold a value that is in it."""
    own: list[str] = field(default_factory=list)
    """A parameter's, arithmetic's or back-ticks' own content."""
    holds: int | None = None
    """A value in the content of a parameter."""

    # A bare frame: the word being read, the words before it, and where values go.

    word: list[str] = field(default_factory=list)
    in_word: bool = False
    value: int | None = None
    through: str = ""
    has_quotes: bool = False
    splits: bool = False
    several: bool = False
    computed: bool = False
    braces: int = 0
    """How many `{` are open in the word, outside quotes."""
    command: SimpleCommand = field(default_factory=SimpleCommand)
    redirect: str = ""
    """The operator whose target is being read."""
    at_start: bool = True
    """A keyword may come now."""
    skips: int = 0
    """This many of the next words are not part of a command."""
    flow: Flow = field(default_factory=Flow)

    @property
    def bare(self) -> ShellFrame:
        """The innermost bare frame: whose word a quoted piece belongs to."""
        return self.outer or self

    @property
    def is_array(self) -> bool:
        return self.gives == "=(…)"
