"""Where an endpoint is and what opens it: URLs and keys, as the user's settings and environment say.

Above: the executors of endpoints. Below: what settings declare. Nothing is sent here, and a key is never
shown: not in a message, not in a `repr`. No workflow says where anything is sent.
"""

from __future__ import annotations

import ipaddress
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib.util import find_spec
from urllib.parse import SplitResult, urlsplit

from samovar.config.declared import DeclaredExecutor, table_of
from samovar.config.keys import NoKeyError, is_place, read_key
from samovar.config.providers import Provider
from samovar.errors import AuthError, SamovarError, UsageError
from samovar.errors.installing import install_command
from samovar.values.secrecy import Secrets


@dataclass(frozen=True, slots=True, kw_only=True)
class Endpoint:
    """An endpoint that can be spoken to."""

    executor: str
    """The executor's name."""
    url: str
    socket: str | None = None
    """The path of a Unix socket that is spoken to in place of the URL's host."""
    key: str | None = field(default=None, repr=False)
    """None: it is spoken to without one."""
    withheld: frozenset[str] = frozenset()
    """Headers, in small letters, that the environment has for the provider, and that it must not get."""

    @property
    def table(self) -> str:
        """What a message calls what the settings say of it."""
        return table_of("executors", self.executor)

    @property
    def host(self) -> str:
        """Who is spoken to."""
        return f"unix:{self.socket}" if self.socket else urlsplit(self.url).netloc

    @property
    def is_remote(self) -> bool:
        """What is sent there leaves this machine."""
        return self.socket is None and not is_this_machine(urlsplit(self.url).hostname or "")

    def masked(self, text: str) -> str:
        """A text without the key."""
        return Secrets([self.key]).mask(text) if self.key else text


def is_this_machine(host: str) -> bool:
    """Whether a host of a URL is this machine: `localhost`, or an address of its loopback."""
    if host == "localhost" or host.endswith(".localhost"):
        return True
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return False
    return address.is_loopback or address.is_unspecified


def endpoint_of(
    declared: DeclaredExecutor, provider: Provider, environment: Mapping[str, str] = os.environ
) -> Endpoint:
    """The endpoint of an executor.

    Raises `UsageError` for a URL or a key that cannot be, or a package that is not installed, `AuthError` if
    a key is needed and there is none.
    """
    require_package(declared, provider)
    url, socket = _url(declared, provider, environment)
    is_meant = _is_meant(declared, provider, url)
    key = _key(declared, provider, environment, is_meant=is_meant)
    if key is None and url == provider.url and socket is None:
        raise AuthError(
            f"The executor {declared.name!r} needs a key: put it into the variable {provider.key_variable}, "
            f'or name where it is with key = "env:NAME" or "file:PATH" in {declared.table}.',
            executor=declared.name,
        )
    withheld = frozenset() if is_meant else _headers_of_environment(provider, environment)
    return Endpoint(executor=declared.name, url=url, socket=socket, key=key, withheld=withheld)


def objection_to(declared: DeclaredExecutor, provider: Provider) -> SamovarError | None:
    """Why it cannot be spoken to, as far as that is known before a run; None if nothing is known."""
    try:
        endpoint_of(declared, provider)
    except SamovarError as error:
        return error
    return None


def is_remote_endpoint(declared: DeclaredExecutor, provider: Provider) -> bool:
    """Whether what it is asked leaves this machine; what cannot be read counts as if it did."""
    try:
        url, socket = _url(declared, provider, os.environ)
    except UsageError:
        return True
    return Endpoint(executor=declared.name, url=url, socket=socket).is_remote


def host_of(declared: DeclaredExecutor, provider: Provider) -> str:
    """Who is spoken to, for a person."""
    url, socket = _url(declared, provider, os.environ)
    return Endpoint(executor=declared.name, url=url, socket=socket).host


def require_package(declared: DeclaredExecutor, provider: Provider) -> None:
    """Raises `UsageError` with the command that installs it."""
    if find_spec(provider.package) is None:
        raise UsageError(
            f"The executor {declared.name!r} needs the package {provider.package}, which is not installed: "
            + install_command(f"samovar[{provider.package}]")
        )


def _url(
    declared: DeclaredExecutor, provider: Provider, environment: Mapping[str, str]
) -> tuple[str, str | None]:
    """The URL, and the Unix socket that it is reached by."""
    where = f"url of {declared.table}"
    url = declared.url
    if url is None:
        where, url = provider.url_variable, environment.get(provider.url_variable, "").strip() or None
    if url is None:
        return provider.url, None
    try:
        parts = urlsplit(url)
        parts.port  # noqa: B018 - raises for what is not a port
    except ValueError:
        parts = SplitResult("", "", "", "", "")
    if parts.scheme == "unix" and parts.path:
        return "http://localhost" + urlsplit(provider.url).path, parts.path
    if parts.username or parts.password:
        raise UsageError(
            f"{where} has a name or a password in it: take them out, and name the key with `key`."
        )
    if parts.scheme not in ("http", "https") or not parts.hostname:
        example = "http://127.0.0.1:8080/v1, or unix:///run/model.sock"
        raise UsageError(f"{where} cannot be {url[:200]!r}: expected an address, as in {example}.")
    return url.rstrip("/"), None


def _is_meant(declared: DeclaredExecutor, provider: Provider, url: str) -> bool:
    """Whether what the environment has for the provider is for this endpoint: the provider's own, or the one
    that the environment names. An endpoint that the settings name elsewhere gets nothing of it.
    """
    return declared.url is None or urlsplit(url).netloc == urlsplit(provider.url).netloc


def _headers_of_environment(provider: Provider, environment: Mapping[str, str]) -> frozenset[str]:
    lines = environment.get(provider.headers_variable, "").split("\n")
    return provider.account_headers | {
        line.partition(":")[0].strip().lower() for line in lines if ":" in line
    }


def _key(
    declared: DeclaredExecutor, provider: Provider, environment: Mapping[str, str], *, is_meant: bool
) -> str | None:
    """`is_meant`: the usual variable of the environment counts."""
    if declared.key is None:
        found = environment.get(provider.key_variable, "").strip()
        return _readable(found, provider.key_variable, declared) if found and is_meant else None
    here = f"key of {declared.table}"
    if not is_place(declared.key):  # which may be the key itself, and is not shown
        raise UsageError(
            f'{here} says where the key is, as "env:NAME" or "file:PATH"; the key itself is never written '
            "into a file of settings."
        )
    try:
        found = read_key(declared.key, environment)
    except NoKeyError as error:
        raise AuthError(f"{here}: {error}.", executor=declared.name) from None
    return _readable(found, f"{here}: what is there", declared)


def _readable(text: str, what: str, declared: DeclaredExecutor) -> str:
    if not text.isascii() or not text.isprintable():
        raise AuthError(f"{what} has characters that no key has.", executor=declared.name)
    return text
