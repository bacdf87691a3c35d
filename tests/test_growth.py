"""The measure of growth tells linear work from quadratic."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.growth import assert_grows_with_size

pytestmark = pytest.mark.xdist_group("cpu")


def linear(size: int) -> Callable[[], object]:
    return lambda: sum(range(size * 1000))


def quadratic(size: int) -> Callable[[], object]:
    return lambda: sum(range(size * size))


def test_linear_work_grows_with_its_size() -> None:
    assert_grows_with_size(linear, 2000)


@pytest.mark.slow
def test_quadratic_work_does_not() -> None:
    with pytest.raises(AssertionError, match="8 times the size took"):
        assert_grows_with_size(quadratic, 4000)
