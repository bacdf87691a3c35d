"""Shell commands of any length, of kinds whose reading could grow faster than they do. `@` is a value."""

from __future__ import annotations

from collections.abc import Callable

LONG: dict[str, Callable[[int], str]] = {
    "values": lambda n: "echo " + "@ " * n,
    "one word": lambda n: "echo " + "@x" * n,
    "values in nested substitutions": lambda n: 'echo "$(' * n + "echo @" + ')"' * n,
    "nested parameters": lambda n: "echo @ " + "${a:-" * n + "}" * n,
    "variables in a chain": lambda n: ";".join(f"n{i}=$n{i + 1}" for i in range(n)) + f"; n{n}=@",
    "pipes": lambda n: "echo @ " + "| cat " * n,
    "groups": lambda n: "(" + " (" * n + "echo @" + ")" * n + ")",
    "compound commands": lambda n: "{ " * n + "echo @; " + "} | cat; " * n,
    "interpreters": lambda n: "echo @ | nice " + "python3 a " * n,
    "here-documents": lambda n: "n=@; " + "cat <<E\nline\nE\n" * n,
    "arithmetic": lambda n: "echo @ $((1" + "+n" * n + "))",
    "literal braces": lambda n: "echo @ '" + "${" * n + "'",
    "letters of an option": lambda n: "sh -" + "c" * n + " : @",
}
