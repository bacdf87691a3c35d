"""The Jinja of chat templates: the names that transformers provides, in a sandbox.

Above: `chat.py`, which imports it only when a template is compiled. Below: Jinja. It does not know what a
token is, and has no clock of its own. The names and their meaning are those of `_compile_jinja_template` in
transformers' `chat_template_utils.py` and of its guide to writing chat templates.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import datetime
from functools import cached_property
from types import TracebackType
from typing import Any

from jinja2 import TemplateAssertionError, TemplateError, TemplateSyntaxError, UndefinedError, meta, nodes
from jinja2.exceptions import SecurityError
from jinja2.ext import Extension
from jinja2.parser import Parser

from samovar.engines.llama.bounds import BoundedEnvironment, Bounds, TooMuchError, counted
from samovar.errors import EngineError, UnmetError
from samovar.generation import GIVEN_TO_TEMPLATES

Clock = Callable[[], datetime]
"""The local time now."""

_FILE = "<template>"
"""What Jinja calls a template that was made of a string, in tracebacks."""


class Dialect:
    """One template, compiled."""

    def __init__(self, source: str, clock: Clock) -> None:
        """Raises `EngineError` if it is not Jinja, or uses a filter or test that is not there."""
        self._source = source
        self._environment = environment = BoundedEnvironment(
            trim_blocks=True, lstrip_blocks=True, extensions=["jinja2.ext.loopcontrols", _Generation]
        )
        self._rendering = threading.Lock()
        environment.filters["tojson"] = counted(_to_json)
        environment.globals["raise_exception"] = _refuse
        environment.globals["strftime_now"] = _strftime_by(clock)
        try:
            self._template = environment.from_string(source)
        except TemplateAssertionError as error:
            raise _lacking(error.message or "", error.lineno) from error
        except TemplateSyntaxError as error:
            raise EngineError(
                f"The model's chat template is not valid Jinja: {error.message} (line {error.lineno})"
            ) from error
        except Exception as error:  # the compiler works out constants, which can fail in any way
            raise EngineError(f"The model's chat template is not valid Jinja: {error!r}") from error

    @cached_property
    def arguments(self) -> frozenset[str]:
        """The names that the template looks up and does not set before; not those that each template gets."""
        tree = self._environment.parse(self._source)
        first: dict[str, str] = {}
        for node in _in_order(tree):
            first.setdefault(node.name, node.ctx)
        unset = {name for name, use in first.items() if use == "load"}
        return frozenset(meta.find_undeclared_variables(tree) & unset) - GIVEN_TO_TEMPLATES

    @property
    def builtins(self) -> frozenset[str]:
        """The names that have a meaning in every template."""
        return GIVEN_TO_TEMPLATES | self._environment.globals.keys()

    def render(
        self,
        messages: Sequence[Mapping[str, Any]],
        texts: Mapping[str, Any],
        tools: Sequence[Mapping[str, Any]] = (),
    ) -> str:
        """The prompt up to where the assistant's answer starts. `texts`: those of single tokens, and further
        arguments, by name. `tools`: definitions; a template gets none rather than an empty list of them.

        Blocks, one rendering after the other. Raises `EngineError`, which says if the template refuses the
        messages, does more than it may, or is wrong in itself. Its `__cause__` is what Jinja raised.
        """
        with self._rendering:
            characters = sum(_characters(message["content"]) for message in messages)
            beside = [tools, *(message.get("tool_calls") for message in messages)]
            characters += sum(len(repr(value)) for value in beside if value)
            self._environment.bounds = Bounds(characters)
            return self._render(messages, texts, list(tools) or None)

    def _render(
        self,
        messages: Sequence[Mapping[str, Any]],
        texts: Mapping[str, Any],
        tools: list[Mapping[str, Any]] | None,
    ) -> str:
        given = {"messages": list(messages), "tools": tools, "documents": None, "add_generation_prompt": True}
        try:
            return self._template.render({**texts, **given})
        except TooMuchError as error:
            where = _in_line(_line_of(error.__traceback__))
            raise EngineError(
                f"The model's chat template exceeds a limit{where}: {error}. "
                "Another file of the model may have a template that works."
            ) from error
        except RefusalError as error:
            raise UnmetError(f"The model's chat template refused the messages: {error}") from error
        except UndefinedError as error:
            raise _lacking(str(error), _line_of(error.__traceback__)) from error
        except SecurityError as error:
            raise EngineError(
                f"The model's chat template does something that is not allowed: {error}"
            ) from error
        except Exception as error:  # a template is a program, and can fail in any way
            where = _in_line(_line_of(error.__traceback__))
            raise EngineError(f"The model's chat template failed{where}: {error!r}") from error


def _in_order(node: nodes.Node) -> Iterator[nodes.Name]:
    """The names in a template, a value's before those that it is given to."""
    if isinstance(node, nodes.Name):
        yield node
    children = list(node.iter_child_nodes())
    if isinstance(node, nodes.Assign):
        children.sort(key=lambda child: child is node.target)
    elif isinstance(node, nodes.For):  # what is gone through, then what it is called, then the rest
        children.sort(key=lambda child: (child is not node.iter, child is not node.target))
    for child in children:
        yield from _in_order(child)


def _characters(content: str | list[dict[str, str]]) -> int:
    return len(content) if isinstance(content, str) else sum(len(part["text"]) for part in content)


def _lacking(what: str, line: int | None) -> EngineError:
    return EngineError(
        f"The model's chat template uses something that does not exist{_in_line(line)}: {what.rstrip('.')}. "
        "Another file of the model may have a template that works."
    )


def _in_line(line: int | None) -> str:
    return "" if line is None else f" (line {line})"


def _line_of(trace: TracebackType | None) -> int | None:
    """The innermost line of the template in a traceback, which Jinja has mapped to its source."""
    line = None
    while trace is not None:
        if trace.tb_frame.f_code.co_filename == _FILE:
            line = trace.tb_lineno
        trace = trace.tb_next
    return line


class _Generation(Extension):
    """`{% generation %}…{% endgeneration %}` marks for training what an assistant says; here it is inert.

    As in transformers, names that are set within are not known after it.
    """

    tags = {"generation"}  # noqa: RUF012 - as Jinja declares it

    def parse(self, parser: Parser) -> nodes.Node:
        line = next(parser.stream).lineno
        body = parser.parse_statements(("name:endgeneration",), drop_needle=True)
        return nodes.Scope(body, lineno=line)


class RefusalError(TemplateError):
    """The template says that it cannot take the messages."""


def _refuse(message: str) -> None:
    raise RefusalError(str(message))


def _strftime_by(clock: Clock) -> Callable[[str], str]:
    def strftime_now(format: str) -> str:
        return clock().strftime(format)

    return strftime_now


def _to_json(
    value: Any,
    ensure_ascii: bool = False,
    indent: int | None = None,
    separators: tuple[str, str] | None = None,
    sort_keys: bool = False,
) -> str:
    """Templates want plain JSON, not Jinja's HTML-safe form."""
    return json.dumps(
        value, ensure_ascii=ensure_ascii, indent=indent, separators=separators, sort_keys=sort_keys
    )
