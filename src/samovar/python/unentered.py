"""Wrappers returned by `open()` and `open_blocking()`: used without `with`, they show the right form.

Above: `api.py`, `blocking.py`. Below: the errors. It adds nothing to what it wraps but that sentence.
"""

from __future__ import annotations

from contextlib import AbstractAsyncContextManager, AbstractContextManager
from types import TracebackType
from typing import Any, Generic, NoReturn, TypeVar

from samovar.errors import UsageError

T = TypeVar("T")


class Unentered(AbstractAsyncContextManager[T]):
    """Enters what it wraps, by `async with`."""

    def __init__(
        self, manager: AbstractAsyncContextManager[T], gives: type[T], form: str, blocking: str
    ) -> None:
        """`form`: how it is entered; `blocking`: what there is for `with`."""
        self._manager, self._gives, self._form, self._blocking = manager, gives, form, blocking

    async def __aenter__(self) -> T:
        return await self._manager.__aenter__()

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> bool | None:
        return await self._manager.__aexit__(kind, error, traceback)

    def __enter__(self) -> NoReturn:
        raise UsageError(f"Use `{self._form}`. For `with` there is {self._blocking}.")

    def __exit__(self, *_: object) -> None:
        """Never reached: `__enter__` always raises."""

    def __getattr__(self, name: str) -> Any:
        raise _not_entered(name, self._gives, self._form)


class BlockingUnentered(AbstractContextManager[T], Generic[T]):
    """Enters what it wraps, by `with`."""

    def __init__(self, manager: AbstractContextManager[T], gives: type[T], form: str, waiting: str) -> None:
        """`form`: how it is entered; `waiting`: what there is for `async with`."""
        self._manager, self._gives, self._form, self._waiting = manager, gives, form, waiting

    def __enter__(self) -> T:
        return self._manager.__enter__()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> bool | None:
        return self._manager.__exit__(kind, error, traceback)

    async def __aenter__(self) -> NoReturn:
        raise UsageError(f"Use `{self._form}`. For `async with` there is {self._waiting}.")

    async def __aexit__(self, *_: object) -> None:
        """Never reached: `__enter__` always raises."""

    def __getattr__(self, name: str) -> Any:
        raise _not_entered(name, self._gives, self._form)


def _not_entered(name: str, gives: type, form: str) -> Exception:
    if not name.startswith("_") and hasattr(gives, name):
        return UsageError(f"It has no {name!r} before it is entered: write `{form}`, then `.{name}`.")
    return AttributeError(f"{gives.__name__} has no attribute {name!r}")
