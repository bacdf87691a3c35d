"""Explains in plain words why a form cannot be enforced.

Above: `grammars.py`. Below: nothing. What llguidance says of forms that people often write is put into other
words here; the rest is shown as it says it.
"""

from __future__ import annotations

import re

_UNKNOWN_KEYS = re.compile(r"Unimplemented keys: \[(.*)\]")


def plainly(reason: str) -> str:
    """Why a form is refused, in one sentence."""
    if found := _UNKNOWN_KEYS.search(reason):
        keys = ", ".join(f"`{key.strip().strip(chr(34))}`" for key in found[1].split(","))
        return f"{keys} cannot be checked while an answer grows. Leave it out, or ask for it in the prompt."
    if "oneOf" in reason:
        return "the alternatives of `oneOf` overlap. Use `anyOf`, or distinguish them by a `const` in each."
    if found := re.search(r'unknown special token: "(.*?)"', reason):
        return f"{found[1]} names a token of a vocabulary. Only texts and expressions can be used."
    if "registry" in reason:
        return "a `$ref` leads outside of it. Only `#/…` within the schema can be used."
    if "look-around" in reason or "lookarounds" in reason:
        return "look-around (`(?=…)`, `(?!…)`, `(?<=…)`, `\\b`) is not supported in regular expressions."
    if found := re.search(r"failed to compile JSON schema: (.+)", reason):
        return f"{found[1].strip()[:300].rstrip('.')}."  # and not the grammar around it
    lines = [line.strip() for line in reason.splitlines() if line.strip(" ^|")]
    short = " ".join(lines)[:300]
    return short if short.endswith(".") else short + "."
