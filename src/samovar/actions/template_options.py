"""The options of a prompt about its model's chat template: `template` and `think`.

Above: `options.py` and the Python API, whose options these are. Below: plain values. Which arguments a
template takes, and whether it can turn reasoning off, only the model knows, when it is asked.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from contextlib import suppress

from samovar.generation import GIVEN_TO_TEMPLATES, NO_TEMPLATE, Template
from samovar.values import plain, to_text


def read_think(value: object) -> bool:
    """`off` and `on`, which YAML and JSON may have made `false` and `true`."""
    text = to_text(value).lower() if isinstance(value, str | bool) else ""
    if text not in ("on", "off", "true", "false"):
        raise ValueError("on or off")
    return text in ("on", "true")


def read_template(value: object) -> Template:
    """Arguments of a chat template, as a map or as the JSON of one; or `none`."""
    if value == NO_TEMPLATE:
        return "none"
    if isinstance(value, str):
        with suppress(ValueError, RecursionError):
            value = json.loads(value)
    if not isinstance(value, Mapping) or not all(isinstance(name, str) for name in value):
        raise ValueError('a map of template arguments, as in {"enable_thinking": false}, or none')
    if given := sorted(GIVEN_TO_TEMPLATES & value.keys()):
        raise ValueError(f"names other than {', '.join(given)}, which every chat template gets anyway")
    return {name: plain(item) for name, item in value.items()}


WITHOUT_TEMPLATE = {
    "system": "`template=none` has no place for a `system` text: put it at the beginning of the prompt.",
    "think": "`think` has no effect with `template=none`: there is nothing to turn on or off.",
}
"""Options that cannot be given with `template=none`, and why."""
