"""Which way of writing calls a chat template has, found in what it makes of two calls that nobody made.

Above: `llama/calling.py`, which renders them. Below: the syntaxes. A model's name plays no part: what the
template writes is what its model was trained to write.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence

from samovar.engines.call_gemma import GemmaCalls
from samovar.engines.call_json import JsonCalls
from samovar.engines.call_keywords import PythonCalls, XmlCalls
from samovar.engines.calls import MOST_CALLS, CallSyntax, WritingSyntax
from samovar.generation import ToolCall, ToolDefinition

FIRST, SECOND = "samovar_probe_a", "samovar_probe_b"
"""The names of two tools that are in no template."""
WORD, COUNT = "probed value", 3
"""Their arguments."""
DESCRIPTION = "A samovar probe."
TOOLS = tuple(
    ToolDefinition(
        name=name,
        description=DESCRIPTION,
        parameters='{"type": "object", "properties": {"word": {"type": "string", "description": "A word."}, '
        '"count": {"type": "integer", "description": "A count."}}, "required": ["word", "count"]}',
    )
    for name in (FIRST, SECOND)
)
CALLS = tuple(
    ToolCall(id=number * 9, name=name, arguments=f'{{"word": "{WORD}", "count": {COUNT}}}')
    for number, name in (("1", FIRST), ("2", SECOND))
)

_OBJECT = r"\{\s*\"name\":\s*\""
_ARGUMENTS = rf"\{{\"word\":(?P<key>\s*)\"{WORD}\"(?P<item>,\s*)\"count\":\s*{COUNT}\}}"
_AFTER = r"\"\s*,\s*\"(?:arguments|parameters)\":\s*"
_ID = r"(?:,\s*\"id\":\s*\"(?:1{9}|2{9})\")?"
_JSON = re.compile(
    rf"(?P<pre>.*?)(?P<open>{_OBJECT}){FIRST}(?P<after>{_AFTER}){_ARGUMENTS}(?P<id>{_ID})(?P<ends>\s*\}})"
    rf"(?P<post>.*)",
    re.DOTALL,
)
_JSON_NEXT = re.compile(
    rf"(?P<mid>.*?{_OBJECT}){SECOND}{_AFTER}\{{[^{{}}]*\}}{_ID}\s*\}}(?P<post>.*)", re.DOTALL
)
_FLAT = re.compile(
    rf"(?P<open>\S+?){FIRST}(?P<id>(?:\[CALL_ID\]1{{9}})?)(?P<after>\S+?){_ARGUMENTS}(?P<post>.*)", re.DOTALL
)
_FLAT_NEXT = re.compile(rf"(?P<mid>\S+?){SECOND}\S+?\{{[^{{}}]*\}}(?P<post>.*)", re.DOTALL)
_PYTHON = re.compile(rf"(?P<pre>\S+?)\[{FIRST}\(word=(['\"]){WORD}\2, count={COUNT}(?P<post>.*)", re.DOTALL)
_XML = re.compile(
    rf"(?P<pre>.*?)(?P<open><function=){FIRST}(?P<between>>\s*)<parameter=word(?P<value>>\s*){WORD}"
    rf"(?P<ends>\s*</parameter>\s*)<parameter=count>\s*{COUNT}\s*</parameter>\s*(?P<close></function>)(?P<post>.*)",
    re.DOTALL,
)
_XML_NEXT = re.compile(rf"(?P<mid>.*?<function=){SECOND}.*?</function>(?P<post>.*)", re.DOTALL)
_GEMMA = re.compile(
    rf"(?P<trigger>\S+?)call:{FIRST}\{{count:{COUNT},word:(?P<quote>\S+?){WORD}(?P=quote)\}}(?P<post>.*)",
    re.DOTALL,
)


def syntax_of(written: str, ends: Sequence[str]) -> CallSyntax | None:
    """The syntax in which a template wrote `CALLS`, or the first of them; None if it is not known here.

    `written`: from where the assistant's answer begins. `ends`: texts that end an answer.
    """
    text = written.lstrip()
    for find in (_xml, _gemma, _python, _json, _flat):
        if (found := find(text, ends)) is not None:
            barred = (*ends, *(call.id for call in CALLS))  # its texts must be those of every call
            return None if any(one in mark for one in barred for mark in found.marks if one) else found
    return None


def by_marks(controls: Collection[str]) -> WritingSyntax | None:
    """The syntax of a model whose template writes no calls, by tokens of its vocabulary."""
    marks = ("<|tool_call_start|>", "<|tool_call_end|>")
    return PythonCalls(trigger=marks[0], closes=marks[1]) if all(one in controls for one in marks) else None


def _end(post: str, ends: Sequence[str]) -> str:
    """What is behind the last call and before the end of the turn."""
    places = [place for end in ends if end and (place := post.find(end)) >= 0]
    return post[: min(places, default=len(post))].rstrip()


def _most(is_several: object) -> int:
    return MOST_CALLS if is_several else 1


def _begun(pre: str, open_: str) -> tuple[str, str, bool]:
    """The trigger, what follows it up to the name, and whether it counts only at the head of an answer."""
    trigger = pre.strip()
    return (
        (trigger, pre[pre.index(trigger) + len(trigger) :] + open_, False) if trigger else (open_, "", True)
    )


def _json(text: str, ends: Sequence[str]) -> CallSyntax | None:
    if not (first := _JSON.match(text)):
        return None
    following = _JSON_NEXT.match(first["post"])
    trigger, begins, at_head = _begun(first["pre"], first["open"])
    if not first["pre"].strip() and following:
        return None  # several objects with nothing around them: where they begin cannot be told from text
    return JsonCalls(
        name="json",
        trigger=trigger,
        begins=begins,
        between=first["after"],
        ends=first["ends"],
        following=following["mid"] if following else "",
        closes=_end((following or first)["post"], ends),
        id_before=', "id": "' if first["id"] else "",
        at_head=at_head,
        most=_most(following),
        separators=(first["item"], ":" + first["key"]),
    )


def _flat(text: str, ends: Sequence[str]) -> CallSyntax | None:
    first = _FLAT.match(text)
    if first is None or re.search(r"\d", first["after"]):  # which counts the calls
        return None
    following = _FLAT_NEXT.match(first["post"])
    return JsonCalls(
        name="flat",
        trigger=first["open"],
        begins="",
        between=first["after"],
        ends="",
        following=following["mid"] if following else "",
        closes=_end((following or first)["post"], ends),
        id_before="[CALL_ID]" if first["id"] else "",
        most=_most(following),
        separators=(first["item"], ":" + first["key"]),
    )


def _python(text: str, ends: Sequence[str]) -> CallSyntax | None:
    if not (found := _PYTHON.match(text)):
        return None
    is_several = f"{SECOND}(" in found["post"]
    closes = _end(found["post"][found["post"].rfind("]") + 1 :], ends)
    return PythonCalls(trigger=found["pre"], closes=closes, most=_most(is_several))


def _xml(text: str, ends: Sequence[str]) -> CallSyntax | None:
    if not (first := _XML.match(text)):
        return None
    following = _XML_NEXT.match(first["post"])
    trigger, begins, at_head = _begun(first["pre"], first["open"])
    return XmlCalls(
        trigger=trigger,
        begins=begins,
        between=first["between"],
        value=first["value"],
        value_ends=first["ends"],
        ends=first["close"],
        following=following["mid"] if following else "",
        closes=_end((following or first)["post"], ends),
        at_head=at_head,
        most=_most(following),
    )


def _gemma(text: str, ends: Sequence[str]) -> CallSyntax | None:
    if not (found := _GEMMA.match(text)):
        return None
    following, trigger = found["post"].partition(f"call:{SECOND}"), found["trigger"]
    if not following[1]:
        return GemmaCalls(
            trigger=trigger, quote=found["quote"], following="", closes=_end(found["post"], ends), most=1
        )
    closes = following[0].strip().removesuffix(trigger).strip()
    return GemmaCalls(trigger=trigger, quote=found["quote"], following=following[0], closes=closes)
