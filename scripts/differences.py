"""The packages of this environment that differ from constraints.txt. For `scripts/check --newest`."""

from __future__ import annotations

from collections.abc import Iterator
from importlib.metadata import distributions
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

CONSTRAINTS = Path(__file__).parent.parent / "constraints.txt"
NOT_MEANT = ("pip", "setuptools", "samovar")


def pinned() -> dict[str, str]:
    """The version of each package, where it is for this Python and system."""
    lines = CONSTRAINTS.read_text(encoding="utf-8").splitlines()
    pins = [Requirement(line) for line in lines if not line.startswith("#")]
    return {
        canonicalize_name(pin.name): next(iter(pin.specifier)).version
        for pin in pins
        if pin.marker is None or pin.marker.evaluate()
    }


def differences() -> Iterator[str]:
    versions = pinned()
    installed = {canonicalize_name(one.name): one.version for one in distributions()}
    for name, version in sorted(installed.items()):
        if name not in NOT_MEANT and versions.get(name) != version:
            yield f"{name} {version} instead of {versions.get(name, 'none')}"


def main() -> None:
    for line in differences():
        print(line)  # noqa: T201


if __name__ == "__main__":
    main()
