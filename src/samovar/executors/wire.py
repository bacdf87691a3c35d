"""One wire to whoever answers at its other end: many things may be asked on it at once.

Above: `far.py`, which has a wire for each run, and commands that ask a daemon about itself. Below:
`frames.py`. What is not wanted any more is given back at the other end before anybody here goes on. A wire
that breaks fails all that is asked on it.
"""

from __future__ import annotations

import itertools
import os
from collections.abc import Awaitable, Callable
from contextlib import suppress

import anyio
from anyio.abc import ByteStream
from anyio.streams.memory import MemoryObjectReceiveStream, MemoryObjectSendStream

from samovar import __version__
from samovar.background import beside
from samovar.errors import EngineLostError, SamovarError, UsageError
from samovar.executors.base import OnPromptEvent
from samovar.executors.frames import (
    MAGIC,
    BadFrameError,
    Cancel,
    Confirmed,
    Failed,
    Frame,
    FrameReader,
    Happened,
    Hello,
    Tell,
    encode,
)
from samovar.generation import Begun, Keep, PromptEvent

READ_BYTES = 65_536
GREETING_S = 10.0
"""A peer that has not said who it is by then is not one of ours."""
SENDING_S = 30.0
"""A peer that has not taken a frame by then is not waited for."""
GIVING_BACK_S = 10.0
"""A peer has this long to give back what is not wanted any more."""

Connect = Callable[[], Awaitable[ByteStream]]
"""Opens a stream to whoever answers. Raises `EngineLostError` if nobody is there."""


class Wire:
    """One open stream. Mutable: what is asked on it, and whether it is still whole."""

    def __init__(self, stream: ByteStream) -> None:
        self._stream = stream
        self._reader = FrameReader()
        self._numbers = itertools.count(1)
        self._asked: dict[int, MemoryObjectSendStream[Frame]] = {}
        self._sending = anyio.Lock()
        self._ended = anyio.Event()
        self.lost: SamovarError | None = None
        """Why nothing can be asked on it any more."""

    @classmethod
    async def greeted(
        cls, stream: ByteStream, run: str = "", *, any_version: bool = False
    ) -> tuple[Wire, Hello]:
        """The wire over a stream, and who is there. Raises `EngineLostError` if it is not one of ours.

        `any_version`: it need not be of this version, as long as it is only told to end.
        """
        wire, is_greeted = cls(stream), False
        try:
            await wire._send_raw(MAGIC + encode(Hello(version=__version__, pid=os.getpid(), run=run)))
            hello = await wire._greeting(any_version=any_version)
            is_greeted = True
        finally:
            if not is_greeted:
                with anyio.CancelScope(shield=True):
                    await stream.aclose()
        return wire, hello

    async def _greeting(self, *, any_version: bool) -> Hello:
        with anyio.move_on_after(GREETING_S):
            try:
                while True:
                    for frame in self._reader.feed(await self._stream.receive(READ_BYTES)):
                        return _checked(frame, any_version=any_version)
            except (anyio.EndOfStream, anyio.BrokenResourceError, OSError, BadFrameError) as error:
                raise EngineLostError(f"samovar serve did not answer: {error or 'it is gone'}.") from None
        raise EngineLostError(f"samovar serve did not answer within {GREETING_S:g} s.")

    async def listen(self) -> None:
        """Hands on what comes, until the peer or the run ends."""
        why = "it ended"
        try:
            while True:
                for frame in self._reader.feed(await self._stream.receive(READ_BYTES)):
                    waits = self._asked.get(getattr(frame, "number", 0))
                    if waits is not None:
                        with suppress(anyio.BrokenResourceError, anyio.ClosedResourceError):
                            waits.send_nowait(frame)
        except (anyio.EndOfStream, anyio.BrokenResourceError, anyio.ClosedResourceError, OSError):
            pass
        except BadFrameError as error:
            why = f"what it said cannot be read: {error}"
        finally:
            self._lose(why)
            with anyio.CancelScope(shield=True):
                await self._stream.aclose()

    def _lose(self, why: str) -> None:
        if self.lost is None:
            self.lost = lost(why)
        self._ended.set()
        for waits in self._asked.values():
            waits.close()

    async def _send_raw(self, raw: bytes) -> None:
        """Whole or not at all, if it is cancelled: after a part of a frame, no other could be read."""
        try:
            async with self._sending:
                with anyio.fail_after(SENDING_S, shield=True):
                    await self._stream.send(raw)
        except (anyio.BrokenResourceError, anyio.ClosedResourceError, OSError):
            self._lose("it ended")
            raise self.lost or lost("it ended") from None

    async def ask(
        self, make: Callable[..., Frame], on_event: OnPromptEvent, keep: Keep = lambda begun: None
    ) -> Frame:
        """The last frame of what `make` asks, which gets its number. Raises what it failed with.

        `keep`: called with what there is of an answer, also while it is given up.
        """
        if self.lost is not None:
            raise self.lost
        number = next(self._numbers)
        try:
            raw = encode(make(number=number))
        except BadFrameError as error:
            raise UsageError(f"This cannot be sent to samovar serve: {error}.") from None
        waits, comes = anyio.create_memory_object_stream[Frame](float("inf"))
        self._asked[number] = waits
        is_over = False
        try:
            with comes:
                await self._send_raw(raw)
                try:
                    async for frame in comes:
                        if isinstance(frame, Happened):
                            if isinstance(frame.event, Begun):
                                keep(frame.event)
                            else:
                                on_event(frame.event)
                            continue
                        is_over = True
                        if isinstance(frame, Failed):
                            raise frame.exception()
                        return frame
                    is_over = True
                    raise self.lost or lost("it ended")
                finally:
                    if not is_over:
                        await self._give_up(number, comes, keep)
        finally:
            waits.close()
            del self._asked[number]

    async def _give_up(self, number: int, comes: MemoryObjectReceiveStream[Frame], keep: Keep) -> None:
        """Waits until the peer has given back what it held for what is not wanted any more."""
        with anyio.move_on_after(GIVING_BACK_S, shield=True), suppress(SamovarError):
            await self._send_raw(encode(Cancel(number=number)))
            async for frame in comes:
                if not isinstance(frame, Happened):
                    return
                if isinstance(frame.event, Begun):
                    keep(frame.event)

    async def end(self) -> None:
        """The peer gives everything back, and closes."""
        with anyio.move_on_after(GIVING_BACK_S, shield=True):
            with suppress(anyio.BrokenResourceError, anyio.ClosedResourceError, OSError):
                await self._stream.send_eof()
                await self._ended.wait()


def _checked(frame: Frame, *, any_version: bool) -> Hello:
    if not isinstance(frame, Hello):
        raise BadFrameError("it did not say who it is")
    if frame.version != __version__ and not any_version:
        raise EngineLostError(
            f"The running samovar serve is version {frame.version}, and this is {__version__}. Restart it: "
            "samovar serve --stop, then samovar serve."
        )
    return frame


def lost(why: str) -> EngineLostError:
    """The message about a peer that ended while it was needed."""
    return EngineLostError(
        f"samovar serve could not finish the answer: {why}. The next prompt loads the model again."
    )


async def tell(stream: ByteStream, what: str) -> dict[str, object]:
    """What a daemon says of itself, or does about itself. Raises a `SamovarError`."""
    wire, _ = await Wire.greeted(stream, any_version=True)
    async with beside(listens=wire.listen):
        frame = await wire.ask(lambda number: Tell(number=number, what=what), _nobody)
    return dict(frame.told) if isinstance(frame, Confirmed) else {}


def _nobody(event: PromptEvent) -> None:
    """Nobody listens."""
