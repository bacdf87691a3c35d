"""Durations, as messages say them to people."""

from __future__ import annotations

import pytest

from samovar.errors.durations import about, lasting, so_far


@pytest.mark.parametrize(
    ("seconds", "said"),
    [
        (0, "0 s"),
        (0.0205, "20.5 ms"),
        (0.25, "250 ms"),
        (0.9996, "1 s"),
        (28.3788, "28.4 s"),
        (59.96, "1 min"),
        (90, "1 min 30 s"),
        (3599.6, "1 h"),
        (5400, "1 h 30 min"),
        (100_000, "27 h 47 min"),
        (172_799.9, "48 h"),
        (172_800, "2 days"),
        (190_800, "2 days 5 h"),
    ],
)
def test_a_duration_has_two_units_at_most_and_no_digits_that_nobody_reads(seconds: float, said: str) -> None:
    assert lasting(seconds) == said


def test_an_estimate_has_one_unit_and_what_goes_on_keeps_its_width() -> None:
    assert [about(seconds) for seconds in (40.3, 200, 9000)] == ["40 s", "3 min", "2.5 h"]
    assert [so_far(seconds) for seconds in (0.25, 59.94, 61)] == ["0.2 s", "59.9 s", "1 min 1 s"]
