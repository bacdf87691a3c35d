"""Reports before a run the forms of answers that cannot be enforced: schemas, patterns, grammars.

Above: `prepare.py`, `samovar check`. Below: the engine, which opens each form without a model. If it
cannot run nothing is said: there no model answers either.
"""

from __future__ import annotations

from collections.abc import Iterator

from samovar.actions.form_options import found_schema
from samovar.actions.options import OPTIONS
from samovar.actions.prompt import ExecutePrompt
from samovar.errors import Fault, PlatformError
from samovar.generation import FORMS, Form, FormKind
from samovar.language.workflow import Workflow


def unenforceable(workflow: Workflow) -> Iterator[Fault]:
    """The forms known before the run that cannot be enforced."""
    for _, action in workflow.actions():
        for kind in FORMS if isinstance(action, ExecutePrompt) else ():
            assert isinstance(action, ExecutePrompt)
            value = action.using.of(kind)
            form = _form(kind, value.given, workflow) if value is not None and value.is_literal else None
            if value is not None and form is not None and (reason := _objection(form)):
                yield Fault(code="unenforceable-form", message=reason, place=value.place)


def _form(kind: FormKind, given: object, workflow: Workflow) -> Form | None:
    """The form that an option asks for; None if it cannot be read, which is said elsewhere."""
    try:
        text = str(OPTIONS[kind](given))
        return Form(
            kind=kind, text=found_schema(text, workflow, may_be_file=True) if kind == "schema" else text
        )
    except ValueError:
        return None


def _objection(form: Form) -> str | None:
    from samovar.engines.llama.grammars import objection

    try:
        return objection(form)
    except PlatformError:
        return None
