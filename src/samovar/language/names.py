"""The variables that the language itself sets: the only list of them.

Above: whatever sets, reads, checks, merges, previews or records variables. Below: nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

ERROR = "error"
"""What went wrong, while it may be read; else null."""
FIRST: Mapping[str, object] = {
    "result": "",
    "success": True,
    "failure": False,
    "is_error": False,
    ERROR: None,
}
"""There from the first state on, with the values they have then; set again by every action."""
BRANCHES = "branches"
"""Set by a join: what each of its branches set, and how it ended."""
OF_BRANCH = frozenset(("ok", "cancelled"))
"""What `branches` has of each branch besides the variables that it set."""
OF_COMMAND = ("stdout", "stderr", "exit_code", "duration_s")
"""Set by an action that runs a command."""

SURROUNDINGS = frozenset(("cwd", "working_directory", "env"))
"""What prompts may read besides variables."""

LIQUID_NOTHINGS = frozenset(("nil", "none", "empty", "blank"))
"""What Liquid reads as words of its own and not as names of variables."""
LIQUID_WORDS = LIQUID_NOTHINGS | {"true", "false", "null"}
"""The same with those that no expression reads as names either."""
LIQUID_MOMENTS = frozenset(("now", "today"))
"""What Liquid knows of the time, by names of its own."""

OLD_CONTEXT = frozenset(("working_directory", "cwd", "model"))
"""Variables that each workflow of the older system had from the start."""
OLD_LEFT_BEHIND = frozenset(("last_action_result", "claude_response", "duration_ms", "error_context"))
"""What the actions of the older system left behind."""
OLD_NAMES = OLD_CONTEXT | OLD_LEFT_BEHIND
"""They are there if a file of any age reads them."""

BUILT_IN = frozenset((*FIRST, BRANCHES, *OF_COMMAND)) | OLD_NAMES
"""All that is set without anybody naming it. Joins do not merge these."""
ALWAYS_THERE = frozenset((*FIRST, "env")) | OLD_NAMES
"""What may be read although nothing in the workflow sets it."""
NOT_TO_SET = (frozenset((*FIRST, BRANCHES, *OF_COMMAND)) | OLD_LEFT_BEHIND) - {"result"}
"""What a workflow may not set itself, since the language does."""
OF_FAILURE = frozenset(("success", "failure", "is_error", "error", "last_action_result"))
"""A condition that reads one of these counts after a failure too."""
OF_COMMAND_FAILURE = OF_FAILURE | {"exit_code"}
"""The same after a command, which also says how it ended."""


def first_variables(bound: Mapping[str, object]) -> dict[str, object]:
    """The variables of a workflow before its first state: the built-in ones, and what was bound."""
    return {**FIRST, **bound}


def surroundings_of(folder: str, environment: Iterable[tuple[str, str]]) -> dict[str, object]:
    """What prompts may read besides variables. `folder`: where the run was started."""
    return {"cwd": folder, "working_directory": folder, "env": dict(environment)}
