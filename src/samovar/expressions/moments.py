"""Times and durations, to the nanosecond, as in CEL.

Above: what is computed with them. Below: nothing. Both are 64 bits of nanoseconds or an error, never a
value that is a little off.
"""

from __future__ import annotations

import datetime
import re
from dataclasses import dataclass

SECOND_NS = 1_000_000_000
_UNITS_NS = {
    "ns": 1,
    "us": 1_000,
    "µs": 1_000,
    "μs": 1_000,
    "ms": 1_000_000,
    "s": SECOND_NS,
    "m": 60 * SECOND_NS,
    "h": 3600 * SECOND_NS,
}
_PART = re.compile(r"([0-9]{1,30}(?:\.[0-9]{0,30})?|\.[0-9]{1,30})(ns|us|µs|μs|ms|s|m|h)")
_TIME = re.compile(
    r"([0-9]{4})-([0-9]{2})-([0-9]{2})[Tt ]([0-9]{2}):([0-9]{2}):([0-9]{2})(?:\.([0-9]{1,30}))?"
    r"(?:([Zz])|([+-])([0-9]{2}):([0-9]{2}))"
)
_EPOCH = datetime.datetime(1970, 1, 1, tzinfo=datetime.UTC)
_FIRST_NS = int((datetime.datetime(1, 1, 1, tzinfo=datetime.UTC) - _EPOCH).total_seconds()) * SECOND_NS
_LAST_NS = 253402300800 * SECOND_NS - 1
"""The last nanosecond of the year 9999."""
_MOST_NS = 2**63


@dataclass(frozen=True, slots=True)
class Duration:
    """A length of time."""

    ns: int

    @classmethod
    def of(cls, ns: int) -> Duration:
        """Raises `ValueError` beyond 64 bits of nanoseconds."""
        if not -_MOST_NS <= ns < _MOST_NS:
            raise ValueError("a duration goes up to 292 years")
        return cls(ns)

    @classmethod
    def parse(cls, text: str) -> Duration:
        """As in `1h30m`, `1.5s`, `-200ms`. Raises `ValueError`."""
        rest = text[1:] if text[:1] in ("-", "+") else text
        if rest == "0":
            return cls(0)
        total, at = 0, 0
        while at < len(rest) and (part := _PART.match(rest, at)) is not None:
            whole, _, fraction = part[1].partition(".")
            unit = _UNITS_NS[part[2]]
            total += int(whole or 0) * unit + int(fraction or 0) * unit // 10 ** len(fraction)
            at = part.end()
        if at < len(rest) or not rest:
            raise ValueError(f"{text[:40]!r} is not a duration, as in '1h30m', '1.5s' or '200ms'")
        return cls.of(-total if text[0] == "-" else total)

    def __str__(self) -> str:
        if not self.ns:
            return "0s"
        size, sign = abs(self.ns), "-" if self.ns < 0 else ""
        if size < SECOND_NS:
            for unit in ("ms", "µs", "ns"):
                if size >= _UNITS_NS[unit]:
                    return sign + _decimal(size, _UNITS_NS[unit]) + unit
        hours, rest = divmod(size, 3600 * SECOND_NS)
        minutes, rest = divmod(rest, 60 * SECOND_NS)
        head = f"{hours}h{minutes}m" if hours else f"{minutes}m" if minutes else ""
        return f"{sign}{head}{_decimal(rest, SECOND_NS)}s"

    def __lt__(self, other: Duration) -> bool:
        return self.ns < other.ns

    @property
    def seconds(self) -> float:
        return self.ns / SECOND_NS

    def whole(self, unit: str) -> int:
        """How often a unit (`h`, `m`, `s`, `ms`) fits, toward zero."""
        size = abs(self.ns) // _UNITS_NS[unit]
        return -size if self.ns < 0 else size


def _decimal(size: int, unit: int) -> str:
    whole, rest = divmod(size, unit)
    fraction = f"{rest:0{len(str(unit)) - 1}d}".rstrip("0") if rest else ""
    return f"{whole}.{fraction}" if fraction else str(whole)


@dataclass(frozen=True, slots=True, eq=False)
class Moment:
    """A point in time, and the offset from UTC in which it was written."""

    ns: int
    """Since 1970 in UTC."""
    offset_min: int = 0

    @classmethod
    def of(cls, ns: int, offset_min: int = 0) -> Moment:
        """Raises `ValueError` outside the years 1 to 9999."""
        local_ns = ns + offset_min * 60 * SECOND_NS
        if not (_FIRST_NS <= ns <= _LAST_NS and _FIRST_NS <= local_ns <= _LAST_NS):
            raise ValueError("a time is in the years 1 to 9999")
        return cls(ns, offset_min)

    @classmethod
    def parse(cls, text: str) -> Moment:
        """As in `2026-01-31T12:00:00Z`. Raises `ValueError`."""
        match = _TIME.fullmatch(text)
        if match is None:
            raise ValueError(f"{text[:40]!r} is not a time, as in '2026-01-31T12:00:00Z'")
        parts = [int(part) for part in match.groups()[:6]]
        try:
            year, month, day, hour, minute, second = parts
            begun = datetime.datetime(year, month, day, hour, minute, second, tzinfo=datetime.UTC)
        except ValueError as error:
            raise ValueError(f"{text!r} is not a time: {error}") from None
        offset = 0
        if match[9]:
            hours, minutes = int(match[10]), int(match[11])
            if hours > 23 or minutes > 59:
                raise ValueError(f"{text!r} is not a time: its offset is too large")
            offset = (hours * 60 + minutes) * (-1 if match[9] == "-" else 1)
        since = begun - _EPOCH
        seconds = since.days * 86400 + since.seconds - offset * 60
        fraction = int((match[7] or "0")[:9].ljust(9, "0"))
        return cls.of(seconds * SECOND_NS + fraction, offset)

    @property
    def local(self) -> datetime.datetime:
        """Where it was written, to the second."""
        seconds = self.ns // SECOND_NS + self.offset_min * 60
        return _EPOCH + datetime.timedelta(seconds=seconds)

    def __str__(self) -> str:
        fraction = f"{self.ns % SECOND_NS:09d}"
        for digits in (3, 6, 9):
            if not fraction[digits:].strip("0"):
                fraction = fraction[:digits]
                break
        local = self.local
        hours, minutes = divmod(abs(self.offset_min), 60)
        offset = f"{'-' if self.offset_min < 0 else '+'}{hours:02}:{minutes:02}"
        dot = f".{fraction}" if fraction.strip("0") else ""
        return f"{local.year:04}-{local:%m-%dT%H:%M:%S}{dot}{offset}"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Moment) and self.ns == other.ns

    def __hash__(self) -> int:
        return hash(self.ns)

    def __lt__(self, other: Moment) -> bool:
        return self.ns < other.ns
