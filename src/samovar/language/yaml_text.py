"""Values as YAML, written so that YAML 1.1 and 1.2 readers get the same values.

Above: cases of workflows, and the action that writes files. Below: PyYAML, which is imported with the first
value, and `yaml_document.py`, which says what plain scalars are.
"""

from __future__ import annotations

import re
from functools import cache
from typing import Any

from samovar.language.yaml_document import CORE_SCALARS

_WIDEST = 1 << 30
"""Columns: nothing is folded."""


def yaml_text(value: object) -> str:
    """The YAML of a plain value, in blocks."""
    import yaml

    text: str = yaml.dump(
        value,
        Dumper=_dumper(),
        sort_keys=False,
        allow_unicode=True,
        default_flow_style=False,
        width=_WIDEST,
    )
    return text


@cache
def _dumper() -> Any:
    """Writes texts so that a reader of YAML 1.1 and one of 1.2 both take them for texts."""
    import yaml

    class Dumper(yaml.SafeDumper):
        def increase_indent(self, flow: bool = False, indentless: bool = False) -> None:
            super().increase_indent(flow, False)

        def ignore_aliases(self, data: Any) -> bool:
            return True

    for name, pattern, firsts in CORE_SCALARS:
        Dumper.add_implicit_resolver(f"tag:yaml.org,2002:{name}", re.compile(pattern), list(firsts))
    Dumper.add_representer(str, _represent)
    return Dumper


def _represent(dumper: Any, text: str) -> Any:
    lines = text.split("\n")
    if not all(line.isprintable() for line in lines):
        style = '"'
    elif len(lines) == 1:
        style = None
    else:
        is_block = lines[0].strip() and all(line == line.rstrip() for line in lines)
        style = "|" if is_block and text[0] != " " and not text.endswith("\n\n") else '"'
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style=style)
