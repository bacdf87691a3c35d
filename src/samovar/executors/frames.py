"""The waist over a wire: its plain values as frames of JSON, each behind its length.

Above: `daemon.py`, which asks over a stream, and whoever answers at its other end. Below: the waist, the
generation values, the errors; pydantic checks what comes in. Pure: bytes in, values out. A peer is not
trusted: what is malformed or too long raises `BadFrameError`, and nothing else does.
"""

from __future__ import annotations

import base64
import json
import struct
from array import array
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, fields
from functools import cache
from pathlib import PurePath
from typing import Any

from samovar.engines.base import ModelSpec
from samovar.errors import Place, SamovarError
from samovar.executors.base import EmbedRequest, PromptReply, PromptRequest
from samovar.generation import (
    Begun,
    Embeddings,
    ExecutorFailed,
    ModelFetching,
    ModelLoading,
    PromptEvaluating,
    PromptEvent,
    TextGenerated,
    ToolCalled,
    ToolFinished,
)

MAGIC = b"SMVR"
"""What a client's side of a wire begins with, which no method of HTTP does."""
MOST_FRAME_BYTES = 256 * 2**20
_HEAD = struct.Struct(">I")
_KINDS = (ModelFetching, ModelLoading, PromptEvaluating, ExecutorFailed, TextGenerated, ToolCalled)
_EVENTS: Mapping[str, type[Any]] = {one.__name__: one for one in (*_KINDS, ToolFinished, Begun)}


class BadFrameError(ValueError):
    """What a peer sent is not a frame."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Hello:
    """The first frame of each side."""

    version: str
    """Of the program that speaks: another one's frames are not understood."""
    pid: int
    run: str = ""
    """From a client: the id of the run that the wire is for."""
    held: dict[str, Any] = field(default_factory=dict)
    """From a daemon: the settings that it has for everybody, by name."""
    budget_bytes: int = 0
    """From a daemon: what models may take in all."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ask:
    """A prompt is to be answered."""

    number: int
    request: PromptRequest
    spec: ModelSpec
    """The request's model, found by whoever asks, and how it is to be loaded."""
    counts: bool = False
    """Only the tokens of the prompt are counted."""
    begun: tuple[Begun, ...] = ()
    """See `GoingOn`: answers that were interrupted."""
    keep_every_s: float | None = None
    """How often what there is of the answer comes back, so that it outlives both processes; None: never."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Embed:
    """Texts are to be embedded."""

    number: int
    request: EmbedRequest
    spec: ModelSpec


@dataclass(frozen=True, slots=True, kw_only=True)
class Forget:
    """A named conversation is over."""

    number: int
    session: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Cancel:
    """What has this number is not wanted any more: it still ends with a frame of its own."""

    number: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Tell:
    """A daemon is to tell how it is, or to do something about itself."""

    number: int
    what: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Happened:
    """Something happens while a prompt is answered, or this much of the answer is to be kept."""

    number: int
    event: PromptEvent | Begun


@dataclass(frozen=True, slots=True, kw_only=True)
class FullReply:
    """A prompt is answered."""

    number: int
    reply: PromptReply


@dataclass(frozen=True, slots=True, kw_only=True)
class Embedded:
    """Texts are embedded."""

    number: int
    vectors: tuple[str, ...]
    """Each as 32-bit floats of this machine, in base64."""
    tokens: int
    model: str

    @classmethod
    def of(cls, number: int, made: Embeddings) -> Embedded:
        """The frame of these vectors."""
        vectors = tuple(base64.b64encode(one.tobytes()).decode("ascii") for one in made.vectors)
        return cls(number=number, vectors=vectors, tokens=made.tokens, model=made.model)

    def embeddings(self) -> Embeddings:
        """The vectors of this frame. Raises `BadFrameError`."""
        try:
            vectors = tuple(array("f", base64.b64decode(one, validate=True)) for one in self.vectors)
        except ValueError as error:
            raise BadFrameError(f"a vector cannot be read: {error}") from None
        return Embeddings(vectors=vectors, tokens=self.tokens, model=self.model)


@dataclass(frozen=True, slots=True, kw_only=True)
class Confirmed:
    """What was wanted is done."""

    number: int
    told: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Failed:
    """What was wanted cannot be had."""

    number: int
    error: str
    """The name of the class in `errors/`."""
    message: str
    place: Place | None = None
    attributes: dict[str, Any] = field(default_factory=dict)
    """What else the error knows, as far as JSON has it."""

    @classmethod
    def of(cls, number: int, error: SamovarError) -> Failed:
        """The frame of this error."""
        known = {name: value for name, value in vars(error).items() if name not in ("message", "place")}
        return cls(
            number=number,
            error=type(error).__name__,
            message=error.message,
            place=error.place,
            attributes={name: value for name, value in known.items() if _is_plain(value)},
        )

    def exception(self) -> SamovarError:
        """The error of this frame: of the same class, with what it knew."""
        import samovar.errors as tree

        kind = getattr(tree, self.error, None)
        if not (isinstance(kind, type) and issubclass(kind, SamovarError)):
            kind = SamovarError
        error = kind.__new__(kind)
        SamovarError.__init__(error, self.message, place=self.place)
        for name, value in self.attributes.items():
            setattr(error, name, value)
        return error


Frame = Hello | Ask | Embed | Forget | Cancel | Tell | Happened | FullReply | Embedded | Confirmed | Failed
_FRAMES: Mapping[str, type[Any]] = {one.__name__: one for one in Frame.__args__}


def _is_plain(value: object) -> bool:
    if isinstance(value, list | tuple):
        return all(map(_is_plain, value))
    return value is None or isinstance(value, str | bool | int | float)


def _plain(value: object) -> object:
    """As JSON has it: of the values that a frame holds, maps of any kind and paths are not."""
    if isinstance(value, Mapping):
        return dict(value)
    if isinstance(value, PurePath):
        return str(value)
    raise ValueError(f"{type(value).__name__} is not a value of a frame")


@cache
def _adapter(name: str) -> Any:
    """Made when it is first needed: making all of them takes a tenth of a second."""
    from pydantic import TypeAdapter

    return TypeAdapter({**_FRAMES, **_EVENTS}[name])


def encode(frame: Frame) -> bytes:
    """The frame behind its length. Raises `BadFrameError` for one that is too long or cannot be JSON."""
    kind, values = type(frame), dict[str, Any]()
    if isinstance(frame, Happened):
        event = type(frame.event)
        plain = _adapter(event.__name__).dump_python(frame.event, warnings=False)
        values = {"number": frame.number, "kind": event.__name__, "event": plain}
    else:
        values = _adapter(kind.__name__).dump_python(frame, warnings=False)
    try:
        text = json.dumps(
            {"is": kind.__name__, **values}, ensure_ascii=False, separators=(",", ":"), default=_plain
        )
        raw = text.encode("utf-8", "surrogatepass")  # two halves of one character stay two
    except (ValueError, RecursionError) as error:
        raise BadFrameError(f"it cannot be written as JSON: {error}") from None
    if len(raw) > MOST_FRAME_BYTES:
        raise BadFrameError(f"it has {len(raw)} bytes, and at most {MOST_FRAME_BYTES} are sent at once")
    return _HEAD.pack(len(raw)) + raw


def decode(raw: bytes) -> Frame:
    """The frame of one body. Raises `BadFrameError`."""
    from pydantic import ValidationError

    try:
        values = json.loads(raw.decode("utf-8", "surrogatepass"))
    except (ValueError, RecursionError) as error:
        raise BadFrameError(f"it is not JSON: {error}") from None
    kind = _FRAMES.get(str(values.pop("is", None))) if isinstance(values, dict) else None
    if kind is None:
        raise BadFrameError("it does not say which kind of frame it is")
    try:
        if kind is Happened:
            return _heard(values)
        unknown = values.keys() - {one.name for one in fields(kind)}
        if unknown:
            raise BadFrameError(f"{kind.__name__} has no {min(unknown)!r}")
        frame: Frame = _adapter(kind.__name__).validate_python(values)
    except (ValidationError, ValueError, TypeError, RecursionError) as error:
        raise BadFrameError(f"{kind.__name__} cannot be read: {str(error)[:500]}") from None
    return frame


def _heard(values: dict[str, Any]) -> Happened:
    event = _EVENTS.get(str(values.get("kind")))
    number = values.get("number")
    if event is None or type(number) is not int or values.keys() != {"number", "kind", "event"}:
        raise BadFrameError("Happened is not of any known event")
    return Happened(number=number, event=_adapter(event.__name__).validate_python(values["event"]))


class FrameReader:
    """Takes bytes as they come, and gives the frames that are whole. Mutable: the bytes that are not yet."""

    def __init__(self, most_bytes: int = MOST_FRAME_BYTES) -> None:
        """`most_bytes`: of one frame; a longer one is refused when its length is read."""
        self._most_bytes = most_bytes
        self._bytes = bytearray()

    def feed(self, data: bytes) -> Iterator[Frame]:
        """The frames that are whole now. Raises `BadFrameError`; nothing can be read after that."""
        self._bytes += data
        while len(self._bytes) >= _HEAD.size:
            (length,) = _HEAD.unpack_from(self._bytes)
            if length > self._most_bytes:
                raise BadFrameError(f"a frame would have {length} bytes; at most {self._most_bytes} are read")
            end = _HEAD.size + length
            if len(self._bytes) < end:
                return
            raw = bytes(self._bytes[_HEAD.size : end])
            del self._bytes[:end]
            yield decode(raw)
