"""The keys of all executors and servers of tools that settings and environment name: what nobody is shown.

Above: the runner, and doors that show what does not come of a run. Below: the settings; where each kind of
executors finds its keys. Whoever is sent a key may send it back in an answer: it is hidden as a secret is.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from urllib.parse import unquote, urlsplit

from samovar.config.keys import NoKeyError, read_key
from samovar.config.providers import PROGRAMS, PROVIDERS
from samovar.config.settings import Settings
from samovar.processes.given_variables import EVERY_PROGRAM, is_key
from samovar.values.secrecy import LEAST_CHARS, Secrets

NO_KEYS = frozenset(
    (
        *("dummy", "empty", "lm-studio", "lmstudio", "llama.cpp", "localhost", "none", "no-key", "nokey"),
        *("no-key-required", "sk-no-key-required", "not-needed", "ollama", "placeholder", "required"),
        *("unused", "sk-local", "sk-dummy", "anything", "changeme", "bearer"),
    )
)
"""Words that are written where a server wants a key and does not look at it. They are hidden nowhere."""


def keys_of(settings: Settings, environment: Mapping[str, str] = os.environ) -> dict[str, str]:
    """Each key that is there, by the place where it is, as in `env:OPENAI_API_KEY`.

    Also the usual ones of kinds that nobody has declared, since commands of a run can see them.
    """
    found: dict[str, str] = {}
    for place in _places(settings):
        with suppress(NoKeyError):  # which whoever needs it will get
            found |= _named(place, _words_of(read_key(place, environment)))
    for provider in PROVIDERS.values():
        for number, line in enumerate(environment.get(provider.headers_variable, "").splitlines()):
            value = line.partition(":")[2]
            found |= _named(f"env:{provider.headers_variable}:{number}", _words_of(value.strip()))
    for name in EVERY_PROGRAM:
        if name.upper().endswith("_PROXY") and not name.upper().startswith("NO_"):
            found |= _named(f"env:{name}", _in_url(environment.get(name, "")))
    return found


def secrets_of(settings: Settings, environment: Mapping[str, str] = os.environ) -> Secrets:
    """The same, to hide them."""
    return Secrets(keys_of(settings, environment).values())


def _places(settings: Settings) -> Iterator[str]:
    """Where keys may be, each once."""
    usual = [provider.key_variable for provider in PROVIDERS.values()]
    usual += [name for program in PROGRAMS.values() for name in program.key_variables]
    given = [name for one in settings.executors for name in one.environment]
    given += [name for one in settings.servers for name in one.environment]
    given += settings.environment
    places = [f"env:{name}" for name in (*usual, *filter(is_key, given))]
    places += [one.key for one in settings.executors if one.key is not None]
    places += [place for one in settings.servers for place in one.headers.values()]
    yield from dict.fromkeys(places)


def _words_of(value: str) -> Iterator[str]:
    """The whole of it, and, as in `Bearer KEY`, what comes after the name of its scheme."""
    yield value
    scheme, _, key = value.partition(" ")
    if scheme.lower() in ("bearer", "basic", "token"):
        yield key.strip()


def _in_url(url: str) -> Iterator[str]:
    """The password of a URL, as it is and as it is written."""
    with suppress(ValueError):
        password = urlsplit(url).password or ""
        yield password
        yield unquote(password)


def _named(place: str, texts: Iterable[str]) -> dict[str, str]:
    found = dict.fromkeys(text for text in texts if len(text) >= LEAST_CHARS and text.lower() not in NO_KEYS)
    return {f"{place}#{number}" if number else place: text for number, text in enumerate(found)}
