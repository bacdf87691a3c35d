"""Checks if an answer in a case has the form that its prompt requires.

Above: `stage.py`. Below: the engine's own reading of forms, which is imported only for an answer of a form.
"""

from __future__ import annotations

from samovar.errors import EngineError
from samovar.generation import Options


def misshapen(text: str, options: Options) -> str | None:
    """The form that an answer should have and has not; None if it has, or if nobody can say."""
    form = options.form
    if form is None:
        return None
    from samovar.engines.llama.grammars import accepts

    try:
        return None if accepts(form, text) else form.text
    except EngineError:  # of a form that only the run knows, which the run says
        return None
