"""The results of cases as JUnit XML, as CI systems read it.

Above: the command line. Below: the results. A suite is a file of cases. What XML cannot hold is written as an
escape.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from xml.etree import ElementTree

from samovar.errors import Place

_NO_XML = re.compile("[^\t\n\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


@dataclass(frozen=True, slots=True, kw_only=True)
class JunitCase:
    """One case."""

    name: str
    place: Place
    duration_s: float
    failures: tuple[tuple[str, str], ...] = ()
    """Failures: for each, a line that says it, and its full text."""


@dataclass(frozen=True, slots=True, kw_only=True)
class JunitSuite:
    """One file."""

    name: str
    workflow: str
    cases: tuple[JunitCase, ...] = ()
    faults: tuple[str, ...] = ()
    """Why its cases could not be run."""


def junit_xml(suites: Sequence[JunitSuite]) -> str:
    """The whole document."""
    root = ElementTree.Element("testsuites", name="samovar")
    for suite in suites:
        element = ElementTree.SubElement(
            root,
            "testsuite",
            name=clean(suite.name),
            tests=str(len(suite.cases) + bool(suite.faults)),
            failures=str(sum(bool(case.failures) for case in suite.cases)),
            errors=str(int(bool(suite.faults))),
            skipped="0",
            time=_seconds(sum(case.duration_s for case in suite.cases)),
        )
        for case in suite.cases:
            _case(element, case, suite)
        if suite.faults:
            one = ElementTree.SubElement(
                element, "testcase", name="the file", classname=clean(suite.workflow), time=_seconds(0)
            )
            fault = ElementTree.SubElement(one, "error", message=clean(suite.faults[0]), type="faults")
            fault.text = clean("\n".join(suite.faults))
    for key in ("tests", "failures", "errors"):
        root.set(key, str(sum(int(element.get(key, "0")) for element in root)))
    root.set("time", _seconds(sum(case.duration_s for suite in suites for case in suite.cases)))
    ElementTree.indent(root)
    return '<?xml version="1.0" encoding="utf-8"?>\n' + ElementTree.tostring(root, encoding="unicode") + "\n"


def _case(suite_element: ElementTree.Element, case: JunitCase, suite: JunitSuite) -> None:
    element = ElementTree.SubElement(
        suite_element,
        "testcase",
        name=clean(case.name),
        classname=clean(suite.workflow),
        file=clean(str(case.place.path)),
        line=str(case.place.line),
        time=_seconds(case.duration_s),
    )
    if case.failures:
        # A case has at most one: several are shown by few who read this.
        failure = ElementTree.SubElement(
            element, "failure", message=clean(case.failures[0][0]), type="expectation"
        )
        failure.text = clean("\n\n".join(whole for _, whole in case.failures))


def _seconds(duration_s: float) -> str:
    return f"{duration_s:.3f}"


def clean(text: str) -> str:
    r"""The text with what XML cannot hold as `\x07` or `\ud800`."""
    return _NO_XML.sub(_escape, text)


def _escape(match: re.Match[str]) -> str:
    number = ord(match.group())
    return f"\\x{number:02x}" if number < 256 else f"\\u{number:04x}"
