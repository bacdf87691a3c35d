"""The front matter of a workflow: the settings that a file can make.

Above: `reading.py`. Below: `workflow.py` for the limits, `parameter_list.py`, `markdown.py`. Unknown keys are
ignored, since old files have many; one that looks like a misspelling gets a hint.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Literal, Protocol

from samovar.errors import FaultsError, Fix, Place, nearest
from samovar.expressions.names import why_unreadable
from samovar.generation import SEEDS, is_seed
from samovar.language.markdown import Document
from samovar.language.model_names import ModelName, Named
from samovar.language.parameter_list import read_groups, read_parameters
from samovar.language.parameters import Parameter
from samovar.language.returning import ReturnedValues, read_returns
from samovar.language.spelling import DIALECT_KEY, OLD_DIALECT
from samovar.language.template import LIQUID_ONLY, Template
from samovar.language.tool_names import NO_TOOLS, read_tools
from samovar.language.workflow import Limits
from samovar.language.yaml_document import FrontMatter
from samovar.values import duration_s, is_finite

KEYS = frozenset(
    [
        "title",
        "description",
        "parameters",
        "arguments",
        "parameter_groups",
        "model",
        "system",
        "tools",
        "executor",
        "limits",
        "seed",
        "on_error",
        "choice_states_act",
        "returns",
        "finally",
        "expose",
        DIALECT_KEY,
    ]
)
OLD_KEYS = frozenset(
    [
        "name",
        "version",
        "author",
        "category",
        "tags",
        "initial_state",
        "variables",
        "timeout",
        "mode",
    ]
)
LIMITS = (
    "transitions",
    "duration",
    "tokens",
    "depth",
    "prompt_timeout",
    "items",
    "tool_rounds",
    "tool_calls",
    "cost",
)


class AddFault(Protocol):
    """Notes something wrong."""

    def __call__(
        self, code: str, message: str, place: Place, *, is_error: bool = True, fix: Fix | None = None
    ) -> None: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class FrontSettings:
    """What the front matter says; fields as in `Workflow`."""

    title: str | None = None
    description: str | None = None
    parameters: tuple[Parameter, ...] = ()
    model: ModelName | None = None
    executor: Named | None = None
    tools: Named | None = None
    system: Template | None = None
    seed: int | None = None
    on_error: Literal["fail", "continue"] = "fail"
    limits: Limits = field(default_factory=Limits)
    choice_states_act: bool = True
    returns: ReturnedValues | None = None
    at_end: Named | None = None
    """The state of `finally`."""
    exposed: Place | None = None


def read_settings(document: Document, add: AddFault, *, is_old: bool) -> FrontSettings:
    """The settings of a document; mistakes in them go to `add`.

    `is_old`: it is a file of the older system, which passed over parameters that it could not read.
    """
    matter = document.front_matter
    if matter is None:
        return FrontSettings()
    values = matter.values

    place = document.spot
    for steps in matter.twice:
        message = f"{str(steps[-1])!r} appears here for the second time; the last one is used."
        add("duplicate-key", message, place(*steps), is_error=False)
    for key in values:
        hint = nearest(key[:100], KEYS)
        if key not in KEYS | OLD_KEYS and hint.startswith(" Did"):
            add(
                "unknown-key",
                f"The front matter has the unknown key {key!r}.{hint}",
                place(key),
                is_error=False,
            )

    def text(key: str) -> str | None:
        value = values.get(key)
        if isinstance(value, list | dict):
            add("front-matter", f"`{key}` must be a text.", place(key))
            return None
        return matter.source(key) or (None if value is None else str(value))

    def names(key: str) -> str | None:
        """A text, or a list of texts, as one with commas."""
        value = values.get(key)
        if isinstance(value, list) and value and all(isinstance(one, str) for one in value):
            return ", ".join(value)
        return text(key)

    def one_of(key: str, default: Any, *allowed: Any) -> Any:
        value = values.get(key, default)
        if not any(value == one and type(value) is type(one) for one in allowed):  # 1 is not true
            shown = " or ".join(str(one).lower() for one in allowed)
            add("front-matter", f"`{key}` must be {shown}, not {value!r}.", place(key))
            return default
        return value

    one_of(DIALECT_KEY, OLD_DIALECT, OLD_DIALECT)
    return FrontSettings(
        title=text("title"),
        description=text("description"),
        parameters=_parameters(document, matter, add, is_old=is_old),
        model=_model(text("model"), place("model")),
        executor=_named(names("executor"), place("executor")),
        tools=_tools(values.get("tools"), place("tools"), add),
        system=_template(text("system"), place("system"), add),
        seed=_seed(values.get("seed"), place("seed"), add),
        on_error=one_of("on_error", "fail", "fail", "continue"),
        limits=_limits(values.get("limits"), partial(place, "limits"), add),
        choice_states_act=one_of("choice_states_act", True, True, False),
        at_end=_named(text("finally"), place("finally")),
        returns=_returns(values, partial(place, "returns"), add),
        exposed=place("expose") if one_of("expose", False, True, False) else None,
    )


def _parameters(
    document: Document, matter: FrontMatter, add: AddFault, *, is_old: bool
) -> tuple[Parameter, ...]:
    values, place = matter.values, document.spot
    key = "parameters" if values.get("parameters") is not None else "arguments"
    if values.get(key) is None:
        return ()
    parameters, faults = read_parameters(
        values[key], partial(place, key), lenient=is_old, source=partial(matter.source, key)
    )
    if values.get("parameter_groups") is not None:
        groups = partial(place, "parameter_groups")
        parameters, doubts = read_groups(values["parameter_groups"], parameters, groups)
        faults += doubts
    for parameter in () if is_old else parameters:
        if (why := why_unreadable(parameter.name)) is not None:
            add("parameter", why, parameter.place)
    for fault in faults:
        add(fault.code, fault.message, fault.place, is_error=fault.severity == "error", fix=fault.fix)
    return parameters


def _returns(values: Mapping[str, Any], place: Callable[..., Place], add: AddFault) -> ReturnedValues | None:
    if "returns" not in values:
        return None
    returns, faults = read_returns(values["returns"], place)
    for fault in faults:
        add(fault.code, fault.message, fault.place)
    return returns


def _seed(value: Any, place: Place, add: AddFault) -> int | None:
    if value is None or is_seed(value):
        return value
    add("front-matter", f"`seed` must be {SEEDS}, not {value!r:.80}.", place)
    return None


def _named(text: str | None, place: Place) -> Named | None:
    return None if text is None else Named(text=text, place=place)


def _tools(value: Any, place: Place, add: AddFault) -> Named | None:
    if value is None:
        return None
    try:
        patterns = read_tools(value)
    except ValueError as error:
        add("front-matter", f"`tools` must be {error}.", place)
        return None
    return Named(text=", ".join(patterns) or NO_TOOLS, place=place)


def _model(text: str | None, place: Place) -> ModelName | None:
    if text is None:
        return None
    return ModelName(text=text, folder=place.path.parent if place.path else None, place=place)


def _template(text: str | None, place: Place, add: AddFault) -> Template | None:
    """The text as a template; mistakes in it are noted before a run meets it."""
    if text is None:
        return None
    try:
        return Template.parse(text, place, LIQUID_ONLY)
    except FaultsError as error:
        for fault in error.faults:
            add(fault.code, fault.message, place)
    return None


def _limits(value: Any, place: Callable[..., Place], add: AddFault) -> Limits:
    if value is None:
        return Limits()
    if not isinstance(value, dict):
        add("front-matter", "`limits` must be a map, as in {transitions: 1000, duration: 1h}.", place())
        return Limits()
    for key in value:
        if key not in LIMITS:
            add(
                "unknown-key",
                f"There is no limit {str(key)!r}.{nearest(str(key)[:100], LIMITS)}",
                place(str(key)),
            )

    def count(key: str, default: int | None) -> int | None:
        number = value.get(key, default)
        if number is not None and (isinstance(number, bool) or not isinstance(number, int) or number < 1):
            add(
                "front-matter",
                f"The limit `{key}` must be a whole number of at least 1, not {number!r}.",
                place(key),
            )
            return default
        return number

    def seconds(key: str) -> float | None:
        try:
            return None if value.get(key) is None else duration_s(value[key])
        except ValueError as error:
            add("front-matter", f"The limit `{key}` cannot be {value[key]!r}: {error}.", place(key))
            return None

    cost = value.get("cost")
    if cost is not None and (
        isinstance(cost, bool) or not isinstance(cost, int | float) or not is_finite(cost) or cost < 0
    ):
        add("front-matter", f"The limit `cost` must be a number from 0 on, not {cost!r:.80}.", place("cost"))
        cost = None
    return Limits(
        tool_rounds=count("tool_rounds", None),
        tool_calls=count("tool_calls", None),
        cost=cost,
        transitions=count("transitions", None),
        duration_s=seconds("duration"),
        tokens=count("tokens", None),
        depth=count("depth", 16) or 16,
        items=count("items", None),
        prompt_timeout_s=seconds("prompt_timeout"),
    )
