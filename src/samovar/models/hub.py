"""Asks a model hub over HTTP: the content of a repository, and the bytes of a file from an offset.

Above: `hub_download.py`. Below: `hub_cache.py`, for its records; the standard library's HTTP. The token goes
to the hub alone: a redirect to another host (where large files are) is followed without it. Every refusal is
one `ModelError`.
"""

from __future__ import annotations

import http.client
import json
import re
import string
import urllib.error
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import quote, urljoin, urlsplit

from samovar.errors import ModelFetchError, ModelNotFoundError
from samovar.models.hub_cache import MAIN, HubFile
from samovar.models.reference import Reference

ENDPOINT = "https://huggingface.co"
TIMEOUT_S = 20.0
"""Without a byte, after which a connection counts as cut."""
MOST_REDIRECTS = 10
LARGEST_ANSWER_BYTES = 64 << 20
"""Bytes of an answer that is not a file."""
_REDIRECTS = (301, 302, 303, 307, 308)
_TOKEN = re.compile(r"[\x21-\x7e]+")
_ADDRESS = re.compile(r"[\x21-\x7e]+")
_YES = ("1", "on", "yes", "true")


class CutError(Exception):
    """A connection was cut, or the hub is busy: it may continue in a moment."""


class NotRedirecting(urllib.request.HTTPRedirectHandler):
    """Leaves redirects to `Hub`, which knows where the token may go."""

    def http_error_302(self, *_: Any, **__: Any) -> None:
        """Nothing: not even where it leads is looked at here."""

    http_error_301 = http_error_303 = http_error_307 = http_error_308 = http_error_302


@dataclass(frozen=True, slots=True, kw_only=True)
class Hub:
    """One hub, as one person may use it."""

    endpoint: str = ENDPOINT
    token: str | None = field(default=None, repr=False)
    token_from: str = "HF_TOKEN"
    """Where the token was found: a variable or a file, for a person."""
    is_offline: bool = False
    """The person's settings for hubs say that it is not to be asked."""
    timeout_s: float = TIMEOUT_S

    def holds(self, reference: Reference) -> tuple[str, tuple[HubFile, ...]]:
        """(commit, files) of the repository that a reference names. Raises `ModelError`, `CutError`."""
        revision = quote(reference.revision or MAIN, safe="")
        url = f"{self.endpoint}/api/models/{reference.repository}/revision/{revision}?blobs=true"
        with self._open(url, {}, reference) as response:
            try:
                told = json.loads(response.read(LARGEST_ANSWER_BYTES))
                commit = str(told["sha"])
                files = tuple(_file(one) for one in told["siblings"])
            except (OSError, http.client.HTTPException) as error:
                raise CutError(_reason(error)) from error
            except (ValueError, KeyError, TypeError, OverflowError, RecursionError) as error:
                raise ModelFetchError(
                    f"{reference.text}: {self.endpoint} did not answer with a list of files. Is it a hub?"
                ) from error
        return commit, files

    def open(self, reference: Reference, commit: str, name: str, start: int) -> Any:
        """The response with a file's bytes from `start` on. Raises `ModelError`, `CutError`."""
        url = f"{self.endpoint}/{reference.repository}/resolve/{commit}/{quote(name)}"
        return self._open(url, {"Range": f"bytes={start}-"} if start else {}, reference)

    def check(self) -> None:
        """Raises `ModelFetchError` for settings that cannot be right, without their values."""
        if not _is_address(self.endpoint):
            raise ModelFetchError(
                "HF_ENDPOINT is not the address of a hub. Write it as https://HOST, or unset it."
            )
        if self.token is not None and not _TOKEN.fullmatch(self.token):
            raise ModelFetchError(
                f"{self.token_from} does not contain a token: a token is one word of ASCII letters, "
                f"digits and signs."
            )

    def _open(self, url: str, headers: Mapping[str, str], reference: Reference) -> Any:
        self.check()
        opener = urllib.request.build_opener(NotRedirecting)
        own = urlsplit(self.endpoint)
        for _ in range(MOST_REDIRECTS):
            target = urlsplit(url)
            if target.scheme not in ("http", "https") or (own.scheme, target.scheme) == ("https", "http"):
                raise ModelFetchError(
                    f"{reference.text}: {own.netloc} redirects to {url}, which is not safe."
                )
            told = {"User-Agent": "samovar", "Accept-Encoding": "identity", **headers}
            is_hub = (target.scheme, target.netloc) == (own.scheme, own.netloc)
            if self.token and is_hub:
                told["Authorization"] = f"Bearer {self.token}"
            request = urllib.request.Request(url, headers=told)
            try:
                return opener.open(request, timeout=self.timeout_s)
            except urllib.error.HTTPError as error:
                with error:
                    location = error.headers.get("Location")
                    if error.code not in _REDIRECTS or not location:
                        if not is_hub:  # the address that the hub gave holds for a while only
                            raise CutError(f"{target.netloc} answers {error.code}") from error
                        raise self._refused(error, reference) from error
                url = _followed(url, location)
                if not url:
                    raise ModelFetchError(
                        f"{reference.text}: {target.netloc} redirects to an invalid address. Is it a hub?"
                    ) from error
            except (OSError, http.client.HTTPException) as error:
                raise CutError(_reason(error)) from error
            except ValueError as error:  # all that it is given was checked, but for what it finds itself
                raise ModelFetchError(
                    f"{reference.text}: HTTPS_PROXY or HTTP_PROXY is not the address of a proxy. Write it as "
                    "http://HOST:PORT, or unset it."
                ) from error
        raise ModelFetchError(f"{reference.text}: {own.netloc} redirects in a circle.")

    def _refused(self, error: urllib.error.HTTPError, reference: Reference) -> Exception:
        """What a status means. The hub says more in a header."""
        code, told = error.code, error.headers.get("X-Error-Code", "")
        page = f"{self.endpoint}/{reference.repository}"
        if code == 429 or code >= 500:
            return CutError(f"it answers {code}")
        if told == "GatedRepo" or (code == 403 and told != "RepoNotFound"):
            way = "with your token" if self.token else "and set HF_TOKEN to a token of your account"
            return ModelFetchError(
                f"{reference.text}: its owner grants access to it. Request access at {page}, {way}."
            )
        if told == "RevisionNotFound":
            return ModelNotFoundError(
                f"{reference.text}: {reference.repository} has no revision {reference.revision or MAIN!r}."
            )
        if told == "EntryNotFound":
            return ModelNotFoundError(f"{reference.text}: there is no such file in {reference.repository}.")
        if code in (401, 404) or told == "RepoNotFound":
            private = "the token may not see it" if self.token else "it is private, and HF_TOKEN is not set"
            return ModelNotFoundError(
                f"{reference.text}: there is no repository {reference.repository} at {self.endpoint}, or "
                f"{private}."
            )
        if code == 416:
            return CutError("it has fewer bytes than were already received")
        return ModelFetchError(f"{reference.text}: {self.endpoint} answers {code} {error.reason}.")


def _is_address(text: str) -> bool:
    """Whether requests can be sent below it. It has no name of a person in it: tokens are for that."""
    try:
        target = urlsplit(text)
        is_one = target.scheme in ("http", "https") and bool(target.hostname) and target.port != 0
    except ValueError:
        return False
    return is_one and "@" not in target.netloc and _ADDRESS.fullmatch(text) is not None


def _followed(url: str, location: str) -> str:
    """Where a redirect leads, with what is not ASCII written as addresses have it; empty if nowhere."""
    try:
        found = urljoin(url, quote(location.encode("latin-1"), safe=string.punctuation))
        parts = urlsplit(found)
        return found if parts.hostname and parts.port != 0 else ""
    except ValueError:
        return ""


def _file(told: Any) -> HubFile:
    """One file of an answer; large ones have a SHA-256. Raises `TypeError` and so on for what is none."""
    large = told["lfs"] if isinstance(told, dict) and told.get("lfs") else {}
    if not isinstance(told, dict) or not isinstance(large, dict):
        raise TypeError("it does not describe a file")
    return HubFile(
        name=str(told["rfilename"]),
        size_bytes=int(large.get("size") or told.get("size") or 0),
        blob=str(large.get("sha256") or large.get("oid") or told.get("blobId") or ""),
    )


def _reason(error: Exception) -> str:
    reason = getattr(error, "reason", None) or error
    if "CERTIFICATE_VERIFY_FAILED" in str(reason):
        return "its certificate cannot be verified (SSL_CERT_FILE can name a file of trusted certificates)"
    return str(getattr(reason, "strerror", None) or reason) or type(error).__name__


def hub_of(environment: Mapping[str, str], home: Path | None) -> Hub:
    """The hub and the token that the usual variables and files say."""
    token, token_from = _token(environment, home)
    return Hub(
        endpoint=(environment.get("HF_ENDPOINT", "").strip() or ENDPOINT).rstrip("/"),
        token=token,
        token_from=token_from,
        is_offline=environment.get("HF_HUB_OFFLINE", "").lower() in _YES,
    )


def _token(environment: Mapping[str, str], home: Path | None) -> tuple[str | None, str]:
    """(token, where it was found) as the hub's own library finds it: a variable, or a file."""
    for variable in ("HF_TOKEN", "HUGGING_FACE_HUB_TOKEN"):
        if text := environment.get(variable, "").strip():
            return text, variable
    caches = environment.get("XDG_CACHE_HOME") or (str(home / ".cache") if home else "")
    folder = environment.get("HF_HOME") or (f"{caches}/huggingface" if caches else "")
    path = environment.get("HF_TOKEN_PATH") or (f"{folder}/token" if folder else "")
    try:
        return Path(path).expanduser().read_text("utf-8").strip() or None if path else None, path
    except (OSError, ValueError, RuntimeError):
        return None, path
