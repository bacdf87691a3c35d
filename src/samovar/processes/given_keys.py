"""The keys among the variables that a program is given: no message about the program shows them.

Above: `children.py`. Below: `values/secrecy.py`, which hides them. A key is known by its variable's name.
"""

from __future__ import annotations

from collections.abc import Mapping

from samovar.values.secrecy import Secrets

WORDS = ("KEY", "TOKEN", "SECRET", "PASSWORD", "CREDENTIAL")
"""In the names of variables that have keys."""


def keys_in(environment: Mapping[str, str]) -> Secrets:
    """The keys of an environment."""
    return Secrets(
        value for name, value in environment.items() if any(word in name.upper() for word in WORDS)
    )
