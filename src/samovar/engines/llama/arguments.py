"""The arguments of a chat template, and those that turn its model's reasoning on or off.

Above: `chat.py`. Below: the generation values. It knows names and values, not how a template is filled. What
would have no effect is an error that says what would have one.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

from samovar.errors import UnmetError


@dataclass(frozen=True, slots=True, kw_only=True)
class Switch:
    """An argument that templates have for reasoning, and its values."""

    name: str
    off: tuple[Any, ...]
    """A text can be its value only if the template has it in quotes; the first that can be is taken."""
    on: tuple[Any, ...]


SWITCHES = (
    Switch(name="enable_thinking", off=(False,), on=(True,)),  # Qwen3, GLM, SmolLM3, Hunyuan, Nemotron 3 …
    Switch(name="thinking", off=(False,), on=(True,)),  # DeepSeek V3.1, Granite, Kimi K2.5
    Switch(name="reasoning", off=(False,), on=(True,)),  # Command A
    Switch(name="thinking_budget", off=(0,), on=(-1,)),  # Seed-OSS
    Switch(name="thinking_mode", off=("disabled",), on=("enabled",)),  # MiniMax M3
    Switch(name="thinking_option", off=("off",), on=("on",)),  # Ling
    Switch(name="reasoning_effort", off=("none", "no_think"), on=("high", "medium")),  # Mistral, Hunyuan 3
)
"""By the order in which they are looked for."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Arguments:
    """What one template takes."""

    source: str
    names: Collection[str]
    """That it looks up."""
    builtins: Collection[str]
    """That have a meaning in every template."""

    def checked(self, given: Mapping[str, Any], think: bool | None, *, always_thinks: bool) -> dict[str, Any]:
        """All arguments for one prompt. `always_thinks`: whatever it is given.

        Raises `UnmetError` for a name that the template does not use, or gets anyway, and if it has no
        way to do what `think` says.
        """
        for name in given:
            if name in self.builtins:
                raise UnmetError(
                    f"The template argument {name!r} cannot be given: every chat template has its own."
                )
            if name not in self.names:
                raise UnmetError(
                    f"The model's chat template has no argument {name!r}, so it would have no effect. "
                    f"{self._listed()}"
                )
        if think is None:
            return dict(given)
        switch = self._switch(think=think, always_thinks=always_thinks)
        if switch.keys() & given.keys():
            name = next(iter(switch))
            raise UnmetError(
                f"`think` sets the template argument {name!r}, which is also given directly: leave out "
                f"one of them."
            )
        return {**given, **switch}

    def _switch(self, *, think: bool, always_thinks: bool) -> dict[str, Any]:
        for switch in SWITCHES:
            off, on = self._usable(switch.off), self._usable(switch.on)
            if switch.name in self.names and off and on:
                return {switch.name: on[0] if think else off[0]}
        if think and always_thinks:
            return {}
        way = (
            "always has the model think" if always_thinks and not think else "cannot turn reasoning on or off"
        )
        hint = ""
        if "reasoning_effort" in self.names:
            hint = (
                ' It can only change how much the model reasons: using template={"reasoning_effort": "low"}.'
            )
        raise UnmetError(f"The model's chat template {way}: leave out `think`.{hint} {self._listed()}")

    def _usable(self, values: tuple[Any, ...]) -> list[Any]:
        """Those that the template knows."""
        quoted = ("'{}'", '"{}"')
        return [
            value
            for value in values
            if not isinstance(value, str) or any(form.format(value) in self.source for form in quoted)
        ]

    def _listed(self) -> str:
        if not self.names:
            return "It uses no arguments."
        return f"It uses: {', '.join(sorted(self.names))}."
