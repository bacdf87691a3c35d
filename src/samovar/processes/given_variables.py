"""The variables of the environment that programs are given, and the keys among them, which no message shows.

Above: whatever starts a program that is not the user's own command: executors, servers and tools of models,
`samovar doctor`. Below: `values/secrecy.py`. A key is known by its variable's name.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping

from samovar.values.secrecy import Secrets

EVERY_PROGRAM = (
    *("HOME", "LOGNAME", "PATH", "SHELL", "TERM", "USER", "LANG", "LANGUAGE", "LC_ALL", "LC_CTYPE", "TZ"),
    *("XDG_CACHE_HOME", "XDG_CONFIG_HOME", "XDG_DATA_HOME", "XDG_RUNTIME_DIR", "XDG_STATE_HOME"),
    *("HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "http_proxy", "https_proxy", "no_proxy"),
    *("SSL_CERT_FILE", "SSL_CERT_DIR", "NODE_EXTRA_CA_CERTS", "REQUESTS_CA_BUNDLE"),
)
"""The variables that every program needs: who and where it is, and how it reaches others."""
TEMPORARY = "TMPDIR"
"""Where temporary files are: ours, for a program that is given no such folder of its own."""
KEY_WORDS = ("KEY", "TOKEN", "SECRET", "PASSWORD", "CREDENTIAL")
"""In the names of variables that have keys."""


def allowed(names: Iterable[str] = ()) -> dict[str, str]:
    """What a program may see of our environment: what every program needs, and `names`."""
    return {name: os.environ[name] for name in (*EVERY_PROGRAM, *names) if name in os.environ}


def is_key(name: str) -> bool:
    """Whether a variable of this name has a key."""
    return any(word in name.upper() for word in KEY_WORDS)


def keys_in(environment: Mapping[str, str]) -> Secrets:
    """The keys of an environment."""
    return Secrets(value for name, value in environment.items() if is_key(name))
