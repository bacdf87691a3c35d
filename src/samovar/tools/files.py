"""`files.read`, `files.list`, `files.search`, `files.write`, `files.edit`: files below the folder of a run.

Above: the table. Below: `actions/file_places.py` and `file_system.py`, by which no path leads out: no `..`,
no absolute path, no link, no device. What they do goes through the visit's context.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from samovar.actions.file_places import Target, search_below, target_below
from samovar.actions.file_system import Change
from samovar.actions.tools import OfferedTool, ToolResult, failed
from samovar.errors import FileError
from samovar.errors.counting import counted
from samovar.tools.base import Here, tool
from samovar.tools.permission import ask, may_write, rule_for_file

MOST_READ_BYTES = 4_000_000
MOST_LISTED = 1000
"""Files that one call lists."""
MOST_MATCHES = 200
"""Lines that one search gives."""
MOST_SEARCHED_BYTES = 50_000_000
"""That one search reads."""
LINES = 2000
"""That `files.read` gives if nothing is said."""
LINE_CHARS = 2000

_PATH = {"type": "string", "description": "Relative to the folder, as in src/main.py"}
_PATTERN = {"type": "string", "description": "As in **/*.py; ** is any number of folders"}
TOOLS = (
    tool(
        "files.edit",
        "Replaces a text that occurs exactly once in a file.",
        {"path": _PATH, "old": {"type": "string", "minLength": 1}, "new": {"type": "string"}},
    ),
    tool(
        "files.list",
        "Lists files below the folder by a pattern.",
        {"pattern": _PATTERN},
        optional=("pattern",),
        is_read=True,
    ),
    tool(
        "files.read",
        f"Reads a text file, at most {LINES} lines of it.",
        {
            "path": _PATH,
            "first_line": {"type": "integer", "minimum": 1},
            "lines": {"type": "integer", "minimum": 1},
        },
        optional=("first_line", "lines"),
        is_read=True,
    ),
    tool(
        "files.search",
        "Finds the lines of text files that contain a text.",
        {"text": {"type": "string", "minLength": 1}, "pattern": _PATTERN},
        optional=("pattern",),
        is_read=True,
    ),
    tool(
        "files.write",
        "Makes a file with a content, or replaces all of it.",
        {"path": _PATH, "content": {"type": "string"}},
    ),
)
"""In the order of their names."""


class FileTools:
    """See `base.Source`."""

    async def tools(self, patterns: Sequence[str], here: Here) -> Sequence[OfferedTool]:
        return TOOLS

    async def call(self, name: str, arguments: Mapping[str, Any], here: Here) -> ToolResult:
        if name == "list":
            return await self._list(str(arguments.get("pattern", "**")), here)
        if name == "search":
            return await self._search(arguments["text"], str(arguments.get("pattern", "**")), here)
        target = target_below(arguments["path"], here.context.folder, here.place)
        if name == "read":
            first, most = arguments.get("first_line", 1), arguments.get("lines", LINES)
            return await self._read(target, int(first), min(int(most), LINES), here)
        if name == "write":
            return await self._write(target, arguments["content"], here)
        return await self._edit(target, arguments["old"], arguments["new"], here)

    async def _read(self, target: Target, first: int, most: int, here: Here) -> ToolResult:
        text = await self._text(target, here)
        lines = text.splitlines()
        shown = [line[:LINE_CHARS] for line in lines[first - 1 : first - 1 + most]]
        left = len(lines) - (first - 1) - len(shown)
        if not shown and first > 1:
            return failed(f"{target.shown} has {len(lines)} lines.")
        more = f"\n[… {left} more lines, from line {first + len(shown)} on …]" if left > 0 else ""
        return ToolResult(text="\n".join(shown) + more)

    async def _text(self, target: Target, here: Here) -> str:
        raw = await here.context.read_file(target, MOST_READ_BYTES)
        try:
            text = raw.decode("utf-8")
        except UnicodeDecodeError:
            raise FileError(
                f"{target.shown} is not text ({counted(len(raw), 'byte', grouped=True)}).", place=here.place
            ) from None
        if "\0" in text:
            raise FileError(
                f"{target.shown} is not text ({counted(len(raw), 'byte', grouped=True)}).", place=here.place
            )
        return text

    async def _list(self, pattern: str, here: Here) -> ToolResult:
        paths = await here.context.find_files(search_below(_whole(pattern), here.context.folder, here.place))
        shown = paths[:MOST_LISTED]
        more = f"\n[… {len(paths) - len(shown)} more files …]" if len(paths) > len(shown) else ""
        return ToolResult(text="\n".join(shown) + more if paths else "No file matches.", value=shown)

    async def _search(self, text: str, pattern: str, here: Here) -> ToolResult:
        folder = here.context.folder
        found: list[str] = []
        left = MOST_SEARCHED_BYTES
        for path in await here.context.find_files(search_below(_whole(pattern), folder, here.place)):
            try:
                held = await self._text(target_below(path, folder, here.place), here)
            except FileError:  # not text, too large, or gone by now
                continue
            left -= len(held)
            for number, line in enumerate(held.splitlines() if text in held else (), start=1):
                if text in line:
                    found.append(f"{path}:{number}: {line.strip()[:300]}")
            if len(found) > MOST_MATCHES or left < 0:
                return ToolResult(text="\n".join([*found[:MOST_MATCHES], "[… the search ended here …]"]))
        return ToolResult(text="\n".join(found) or "No line has it.")

    async def _write(self, target: Target, content: str, here: Here) -> ToolResult:
        no = await _may_not(
            target, f"write {counted(len(content), 'character', grouped=True)} to a file", here
        )
        if no is not None:
            return no
        raw = _encoded(content, target, here)
        await here.context.write_file(target, Change(make=lambda before: raw))
        return ToolResult(text=f"{target.shown} is written.")

    async def _edit(self, target: Target, old: str, new: str, here: Here) -> ToolResult:
        before = await self._text(target, here)
        count = before.count(old)
        if count != 1:
            how = "does not occur" if not count else f"occurs {counted(count, 'time')}"
            return failed(f"The text {how} in {target.shown}, where it must occur once.")
        no = await _may_not(target, "change a file", here)
        if no is not None:
            return no
        raw = _encoded(before.replace(old, new), target, here)

        def changed(now: bytes | None) -> bytes:
            if now != before.encode():
                raise FileError(f"{target.shown} has changed meanwhile.", place=here.place)
            return raw

        await here.context.write_file(target, Change(make=changed, most_bytes=MOST_READ_BYTES))
        return ToolResult(text=f"{target.shown} is changed.")


def _whole(pattern: str) -> str:
    """A pattern of files; a folder is all that is in it."""
    pattern = pattern.strip() or "**"
    if pattern in (".", "./"):
        pattern = "**"
    if pattern.endswith("/"):
        pattern += "**"
    return f"{pattern}/*" if pattern.split("/")[-1] == "**" else pattern


def _encoded(content: str, target: Target, here: Here) -> bytes:
    try:
        return content.encode("utf-8")
    except UnicodeEncodeError:
        raise FileError(f"The content for {target.shown} has half a character.", place=here.place) from None


async def _may_not(target: Target, doing: str, here: Here) -> ToolResult | None:
    """What the model is told if a file may not be written; None if it may."""
    if may_write(here.context.settings.allow, target):
        return None
    return await ask(here, doing, target.shown, rule_for_file(target))
