"""The confidence of choices in a case's answers: `confidence` and `alternatives`.

Above: `told_values.py`, which reads answers; `stage.py`, which gives them; `recorded_values.py`. Below:
`certainty.py`. Choices without an entry are certain.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

from samovar.errors import nearest
from samovar.testing.cases import Answer
from samovar.testing.checked_values import CheckedValues, Step
from samovar.values.certainty import ChosenValue, path_text, spelled

_PROBABILITY = "a probability from 0 to 1"


def read_confidence(yaml: CheckedValues, values: Mapping[str, Any], at: tuple[Step, ...]) -> dict[str, float]:
    """A number, of the whole answer; or a map by the paths of fields. What is wrong is a fault of `yaml`."""
    told = values.get("confidence", {})
    found: dict[str, float] = {}
    for path, one in (told if isinstance(told, dict) else {"": told}).items():
        number = _probability(one)
        if number is None:
            steps = (path,) if isinstance(told, dict) else ()
            yaml.fault("case", f"`confidence` must be {_PROBABILITY}.", *at, "confidence", *steps)
        else:
            found[str(path)] = number
    return found


def read_alternatives(
    yaml: CheckedValues, values: Mapping[str, Any], at: tuple[Step, ...]
) -> dict[str, dict[str, float | None]]:
    """A map by values, of the whole answer; or a map of such maps by the paths of fields."""
    told = values.get("alternatives", {})
    if not isinstance(told, dict):
        yaml.fault("case", "`alternatives` must be a map of values to probabilities.", *at, "alternatives")
        return {}
    is_by_path = bool(told) and all(isinstance(one, dict) for one in told.values())
    found: dict[str, dict[str, float | None]] = {}
    for path, shares in (told if is_by_path else {"": told} if told else {}).items():
        found[str(path)] = {_key(key): _probability(one) for key, one in shares.items()}
        for key, one in shares.items():
            if one is not None and _probability(one) is None:
                steps = (path, key) if is_by_path else (key,)
                message = f"A value of `alternatives` must be {_PROBABILITY}, or null."
                yaml.fault("case", message, *at, "alternatives", *steps)
    return found


def _key(key: object) -> str:
    return spelled(key) if key is None or isinstance(key, bool | int | float) else str(key)


def _probability(told: object) -> float | None:
    is_one = isinstance(told, int | float) and not isinstance(told, bool) and 0 <= told <= 1
    return float(told) if is_one else None  # type: ignore[arg-type]


def told_choices(answer: Answer, chosen: Iterable[ChosenValue]) -> tuple[ChosenValue, ...]:
    """The choices of an answer, with the confidence from a case.

    Raises `ValueError` with a sentence for a path that leads to no choice.
    """
    found = {path_text(one.path): one for one in chosen}
    for path in (*answer.confidence, *answer.alternatives):
        if path not in found:
            where = f"at {path!r} " if path else ""
            raise ValueError(f"there is no choice {where}in it.{nearest(path, found)}")
    for path, one in found.items():
        confidence = answer.confidence.get(path, one.confidence)
        shares = answer.alternatives.get(path)
        if shares is None:
            shares = _shares(one, confidence)
        elif unknown := next((key for key in shares if key not in one.alternatives), None):
            raise ValueError(f"{unknown!r} is not one of the choices.{nearest(unknown, one.alternatives)}")
        alternatives = {key: shares.get(key) for key in one.alternatives}
        found[path] = replace(one, confidence=confidence, alternatives=alternatives)
    return tuple(found.values())


def _shares(one: ChosenValue, confidence: float) -> Mapping[str, float | None]:
    """What a confidence says of the other values: something if there is one other, or nothing is left."""
    others = [key for key in one.alternatives if key != spelled(one.value)]
    share = 1.0 - confidence if len(others) == 1 or confidence == 1.0 else None
    return {spelled(one.value): confidence, **dict.fromkeys(others, share)}


def recorded_choices(chosen: Iterable[ChosenValue]) -> dict[str, object]:
    """What a case gives of choices, exactly; nothing of those that are sure."""
    unsure = [one for one in chosen if one.confidence != 1.0 or set(one.alternatives.values()) - {0.0, 1.0}]
    if not unsure:
        return {}
    if [one.path for one in unsure] == [()]:
        return {"confidence": unsure[0].confidence, "alternatives": dict(unsure[0].alternatives)}
    return {
        "confidence": {path_text(one.path): one.confidence for one in unsure},
        "alternatives": {path_text(one.path): dict(one.alternatives) for one in unsure},
    }
