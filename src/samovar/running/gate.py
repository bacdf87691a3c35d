"""Limits what a run may do for untrusted projects: nothing that was not allowed.

Above: `preflight/trusting.py`, which makes one before a run and has it asked about; the loop, which looks at
each workflow that a state runs. Below: the library. A workflow that has neither effects nor a name that the
user may have meant otherwise is let through.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from shlex import quote
from typing import Literal

from samovar.errors import UntrustedError
from samovar.language.workflow import Workflow
from samovar.library import Library


@dataclass(frozen=True, slots=True, kw_only=True)
class Doing:
    """What a workflow of a project that is not trusted would do."""

    name: str
    path: Path
    folder: Path
    """Folder of the project: the one that would have to be trusted."""
    hides: tuple[str, Path] | None
    """What has the same name and was perhaps meant: its source (`user`, `built-in`) and its file."""
    effects: tuple[tuple[str, str, str], ...]
    """For each state that has one: its name, the effect (`runs a command`), and all of it as written."""
    reads: tuple[tuple[str, str], ...] = ()
    """Parameters that are looked for in the environment, each with the variable's name."""
    since: Literal["", "changed", "added"] = ""
    """What happened to its file since the user trusted the folder; empty for a folder that is not trusted."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Gate:
    """The gate of one run."""

    closed: tuple[Path, ...] = ()
    """The folders of projects whose workflows are asked about, unless they are as they were trusted."""
    kept: Mapping[Path, Mapping[str, str]] = field(default_factory=dict)
    """For trusted folders: the digests of workflows at the time of trusting, by path below the
    folder."""
    allowed: frozenset[Doing] = frozenset()
    """What the user was asked about and has allowed."""
    allows_effects: bool = True
    """False: the run has none, and so nobody need be asked about them."""

    def doing(
        self, library: Library, workflow: Workflow, above: Workflow | None, *, leads: bool = False
    ) -> Doing | None:
        """What is to be asked about a workflow; None if it may be run.

        `above`: the workflow that runs it; None: the user named it. `leads`: it runs others that have
        effects, with what it gives them.
        """
        folder = self._closed_of(library, workflow)
        if folder is None or workflow.path is None:
            return None
        since = self._since(folder, workflow)
        if since is None:
            return None
        is_own = above is not None and self._closed_of(library, above) == folder
        hides = None if is_own else library.hidden_by(workflow)
        effects = tuple(
            (state.name, state.action.effect, state.action.doing)
            for state in workflow.states.values()
            if self.allows_effects and state.action is not None and state.action.effect is not None
        )
        if hides is None and not effects and not (leads and since):
            return None
        return Doing(
            name=workflow.name,
            path=workflow.path,
            folder=folder,
            hides=hides,
            effects=effects,
            reads=tuple((one.name, one.from_env) for one in workflow.parameters if one.from_env),
            since=since,
        )

    def _since(self, folder: Path, workflow: Workflow) -> Literal["", "changed", "added"] | None:
        """What happened to a workflow's file since the user trusted its folder; None: it is as it was."""
        if folder not in self.kept or workflow.path is None:
            return ""
        kept = self.kept[folder].get(path_below(folder, workflow.path))
        return "added" if kept is None else "changed" if kept != workflow.digest else None

    def check(self, library: Library, workflow: Workflow, above: Workflow) -> None:
        """Raises `UntrustedError` for what a state would run, and nobody has allowed as it is now."""
        doing = self.doing(library, workflow, above)
        if doing is not None and doing not in self.allowed:
            raise UntrustedError(said([doing]))

    def _closed_of(self, library: Library, workflow: Workflow) -> Path | None:
        home = library.home_of(workflow)
        is_project = home is not None and home[0] == "project"
        return home[1].parent if home and is_project and home[1].parent in self.closed else None


def path_below(folder: Path, path: Path) -> str:
    """The path of a workflow of a project's folder, as what is trusted is kept by."""
    return path.absolute().relative_to(folder.absolute()).as_posix()


def said(found: Sequence[Doing]) -> str:
    """What would be done, for anyone who is to allow it."""
    lines = []
    for folder in _folders(found):
        lines.append(f"You do not trust {folder} as it is now. It would do this:")
        for one in found:
            if one.folder == folder:
                lines += _said(one)
    return "\n".join(lines)


def _said(one: Doing) -> list[str]:
    since = {
        "": "",
        "changed": ", changed since you trusted it",
        "added": ", added since you trusted the folder",
    }
    lines = [f"  the workflow {one.name!r} ({one.path}){since[one.since]}"]
    if one.hides:
        source, path = one.hides
        whose = "your own" if source == "user" else "the built-in"
        lines.append(f"    is run in place of {whose} workflow of that name ({path})")
    lines += [f"    takes {name!r} from the environment: {variable}" for name, variable in one.reads]
    for state, effect, text in one.effects:
        first, *more = text.splitlines() or [""]
        lines.append(f"    {state} {effect}: {first}")
        lines += [f"      {line}" for line in more]
    return lines


def ways(found: Sequence[Doing]) -> str:
    """What somebody can do who wants it to run, or only a part of it."""
    choices = [(f"samovar trust {quote(str(one))}", "from now on") for one in _folders(found)]
    choices.append(("--trust", "for this run; in CI, set SAMOVAR_TRUST=1"))
    if any(one.effects for one in found):
        choices.append(("--no-effects", "run it, but only ask prompts"))
    choices.append(
        ("FILE in place of NAME", "a workflow that you name by its file runs without this question")
    )
    width = max(len(what) for what, _ in choices)
    lines = [f"  {what:{width}}  {why}" for what, why in choices]
    return "\n".join(("Nothing was run. Read it, then choose one:", *lines))


def _folders(found: Sequence[Doing]) -> Sequence[Path]:
    return tuple(dict.fromkeys(one.folder for one in found))
