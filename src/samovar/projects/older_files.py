"""The settings of the older tool: the `agent` block of `sah.yaml`, read as settings of Samovar.

Above: `config_files.py`, which puts its values below those of the project's own file. Below: PyYAML, imported
where there is such a file. It knows the older names and no setting's meaning; what it does not take over is
said in `notes`, and in docs/from-swissarmyhammer.md.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from samovar.files import is_file, is_folder

OLDER_FOLDERS = (".swissarmyhammer", ".sah")
OLDER_NAMES = tuple(
    f"{name}.{end}" for name in ("sah", "swissarmyhammer") for end in ("toml", "yaml", "yml", "json")
)
"""In the order in which the older tool read them: a later one overrides."""
CLAUDE = "claude-code"
LLAMA = "llama-agent"
_UNSAFE = "--dangerously-skip-permissions"
_NOT_TAKEN = ("batch_size", "use_hf_params", "debug")


@dataclass(frozen=True, slots=True, kw_only=True)
class OlderSettings:
    """What such a file says in the words of today."""

    values: Mapping[str, Any]
    """Settings by name."""
    notes: tuple[str, ...] = ()
    """What of it is not taken over, and why."""


def older_files(folder: Path) -> Iterator[Path]:
    """Those that a folder of a project has; whichever comes later wins."""
    for inside in OLDER_FOLDERS:
        if is_folder(folder / inside):
            yield from (path for name in OLDER_NAMES if is_file(path := folder / inside / name))


def read_older(path: Path) -> OlderSettings:
    """What it says. Raises `ValueError`, `OSError`."""
    text = path.read_text(encoding="utf-8-sig")
    said = _parsed(path, text)
    agent = said.get("agent") if isinstance(said, Mapping) else None
    if isinstance(agent, Mapping) and "executor" not in agent and isinstance(agent.get("default"), Mapping):
        agent = agent["default"]
    if not isinstance(agent, Mapping) or "executor" not in agent:
        return OlderSettings(values={})
    executor = agent["executor"]
    if not isinstance(executor, Mapping):
        raise ValueError("agent.executor has a type and a config")
    kind, config = executor.get("type", CLAUDE), executor.get("config") or {}
    if kind not in (CLAUDE, LLAMA):
        raise ValueError(f"agent.executor.type cannot be {kind!r}: expected {CLAUDE} or {LLAMA}")
    if not isinstance(config, Mapping):
        raise ValueError("agent.executor.config is no map")
    return _of_claude(config) if kind == CLAUDE else _of_llama(config)


def _parsed(path: Path, text: str) -> Any:
    if path.suffix == ".toml":
        import tomllib

        return tomllib.loads(text)
    if path.suffix == ".json":
        return json.loads(text)
    import yaml

    try:
        return yaml.safe_load(text)
    except (yaml.YAMLError, RecursionError) as error:
        raise ValueError(" ".join(str(error).split())) from error


def _of_claude(config: Mapping[str, Any]) -> OlderSettings:
    path, arguments = config.get("claude_path"), config.get("args") or []
    if not isinstance(arguments, list) or not all(isinstance(one, str) for one in arguments):
        raise ValueError("args of claude-code is a list of texts")
    if not isinstance(path, str | None):
        raise ValueError("claude_path is a text")
    values: dict[str, Any] = {"executor": CLAUDE}
    notes = []
    if _UNSAFE in arguments:
        arguments = [one for one in arguments if one != _UNSAFE]
        notes.append(
            f"args: {_UNSAFE} is not taken over; `permission` in [executors.{CLAUDE}] says what it may"
        )
    unread = [one for one in (path or "", *arguments) if "${" in one]
    if unread:
        notes.append(_from_environment(unread[0]))
    elif path or arguments:
        values["executors"] = {CLAUDE: {"kind": CLAUDE, "command": [path or "claude", *arguments]}}
    return OlderSettings(values=values, notes=tuple(notes))


def _of_llama(config: Mapping[str, Any]) -> OlderSettings:
    values: dict[str, Any] = {"executor": "local"}
    notes = [f"{name}: not taken over" for name in ("mcp_server", "repetition_detection") if name in config]
    model = config.get("model")
    if model is not None:
        if not isinstance(model, Mapping) or not isinstance(model.get("source"), Mapping):
            raise ValueError("model of llama-agent has a source: HuggingFace or Local")
        notes += [f"model.{name}: not taken over" for name in _NOT_TAKEN if name in model]
        reference = _reference(model["source"])
        if "${" in reference:
            notes.append(_from_environment(reference))
        else:
            values["model"] = reference
    return OlderSettings(values=values, notes=tuple(notes))


def _from_environment(text: str) -> str:
    return f"{text!r}: a value of the environment is not put in; write it in .samovar/config.toml"


def _reference(source: Mapping[str, Any]) -> str:
    """The model as it is called today. Raises `ValueError`."""
    for kind in ("HuggingFace", "Local"):
        if not isinstance(source.get(kind), Mapping):
            continue
        given = source[kind]
        texts = {name: given.get(name) for name in ("repo", "filename", "folder")}
        wrong = next((name for name, one in texts.items() if not isinstance(one, str | None)), None)
        if wrong:
            raise ValueError(f"{wrong} of {kind} is a text")
        parts = [one.strip("/") for one in (texts["folder"], texts["filename"]) if one]
        if kind == "Local":
            if not texts["filename"]:
                raise ValueError("Local has a filename")
            return str(Path(texts["folder"] or "") / texts["filename"])
        if not texts["repo"]:
            raise ValueError("HuggingFace has a repo")
        if not texts["filename"]:  # a folder of parts: which of its files is chosen by its name
            return f"hf:{texts['repo']}" + (f":{parts[0]}" if parts else "")
        return "/".join([f"hf:{texts['repo']}", *parts])
    raise ValueError("source of a model is HuggingFace or Local")
