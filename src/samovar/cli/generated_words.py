"""How many tokens were generated, in words, for every place that shows them.

Above: reports, lines of states, kept runs. Below: nothing.
"""

from __future__ import annotations

from collections.abc import Mapping


def generated_words(tokens: Mapping[str, int], *, grouped: bool = False) -> str:
    """`64 generated (12 of them reasoning, 10 before an interruption)`. `tokens`: as JSON has them."""
    form = "{:,}" if grouped else "{}"
    parts = [
        f"{form.format(tokens[name])} {words}"
        for name, words in (("reasoning", "of them reasoning"), ("resumed", "of them before an interruption"))
        if tokens.get(name)
    ]
    within = f" ({', '.join(parts)})" if parts else ""
    return f"{form.format(tokens['generated'])} generated{within}"
