"""Templates: filled once, by values that are never read as anything but text."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping

import pytest
from hypothesis import given
from hypothesis import strategies as st

from samovar.errors import FaultsError, Place, TemplateError, TooLargeError
from samovar.language.template import LIQUID_ONLY, Held, Rules, Template
from samovar.values import Record, to_text

HERE = Place(path=None, line=7, column=3)
NASTY = st.text() | st.sampled_from(
    ["{{ a }}", "${a}", "{% if %}", '"', "'", "\\", "{% raw %}", "}}", "$${a}", "\0", "\0" + "0" + "\0", "{{"]
)


def fill(text: str, **variables: object) -> str:
    return Template.parse(text, HERE).fill(variables)


@pytest.mark.parametrize(
    ("text", "filled"),
    [
        ("plain", "plain"),
        ("", ""),
        ("a ${x} b", "a X b"),
        ("{{ x }}{{x}}", "XX"),
        ("${m.k[1]} ${ m['k'][n - 4] } ${size(m.k) + 1}", "two two 3"),
        ("{{ m.k[0] }} {{ m['k'][1] }} {{ m.k.size }} {{ m.k.last }}", "one two 2 two"),
        ("{{ x | downcase }}", "x"),
        ("{% if x == 'X' %}yes{% endif %}", "yes"),
        ("{% if nothing %}yes{% else %}no{% endif %}", "no"),
        ("{{ nothing | default: 'd' }}", "d"),
        ("{% for i in m.k %}${x}{{ i }};{% endfor %}", "Xone;Xtwo;"),
        ("$${x} and {% raw %}{{ x }} ${x}{% endraw %}", "${x} and {{ x }} ${x}"),
        ("costs ${{ n }}", "costs $5"),
        ("{{ l }} {{ m }}", '[1, true] {"k": ["one", "two"]}'),
        ("{{ m.k | join: '-' }}", "one-two"),
        ("{{ l | join }} {{ l | join: false }}", "1 true 1falsetrue"),
        ("{{ yes | append: yes | replace: yes, 'y' }} {{ 'x' | append: nil }}", "yy x"),
        ("{{ l | append: '!' }} {{ m | upcase }}", '[1, true]! {"K": ["ONE", "TWO"]}'),
        ("{{ n | plus: 1 }}", "6"),
        ("{{ 'A b_C!' | slugify }} {{ 'a\nb' | count_lines }}", "a-b-c 2"),
        ("{{ 'a\nb' | indent: 2 }}", "  a\n  b"),
        ("{{ r }} {{ r.tokens }} ${r.tokens}", "text 3 3"),
        ("a } b }} c %}", "a } b }} c %}"),
        ("{{ partial }}", "P"),
    ],
)
def test_what_templates_become(text: str, filled: str) -> None:
    variables = {
        "x": "X",
        "n": 5,
        "m": {"k": ["one", "two"]},
        "l": [1, True],
        "yes": True,
        "r": Record("text", {"tokens": 3}),
        "partial": "P",
    }
    assert fill(text, **variables) == filled


@given(NASTY, NASTY)
def test_a_value_stands_in_the_text_as_it_is(x: str, y: str) -> None:
    assert fill("<${x}|{{ y }}>", x=x, y=y) == f"<{x}|{y}>"
    assert fill("<${x}|{{ y }}>{% if true %}{% endif %}", x=x, y=y) == f"<{x}|{y}>"


@given(NASTY, NASTY)
def test_held_pieces_put_together_are_the_filled_text(x: str, y: str) -> None:
    template = Template.parse("{% if x %}a{% endif %}${x}<{{ y }}>", HERE, Rules(shell=True))
    held = template.hold({"x": x, "y": y})
    assert "".join(p if isinstance(p, str) else to_text(p.value) for p in held) == template.fill(
        {"x": x, "y": y}
    )
    assert [piece.value for piece in held if isinstance(piece, Held)] == [x, y]


def test_captured_values_are_held_as_one_value() -> None:
    template = Template.parse(
        "{% capture c %}<{{ x }}>{% endcapture %}{{ c | upcase }}", HERE, Rules(shell=True)
    )
    assert template.hold({"x": "a"}) == (Held(value="<A>"),)


def test_a_value_that_is_the_whole_template_keeps_its_type() -> None:
    variables: Mapping[str, object] = {"l": [1], "n": 2, "r": Record("t", {"tokens": 3})}
    for text, value in (
        ("${l}", [1]),
        ("{{ n }}", 2),
        ("{{ n | plus: 1 }}", 3),
        (" ${n}", " 2"),
        ("${r.tokens}", 3),
    ):
        assert Template.parse(text, HERE).value(variables) == value
    assert isinstance(Template.parse("${r}", HERE).value(variables), Record)


@pytest.mark.parametrize(
    ("text", "message", "column"),
    [
        ("a ${repotr}", "There is no variable 'repotr'. Did you mean 'report'?", 7),
        ("{{ repotr | upcase }}", "There is no variable 'repotr'. Did you mean 'report'?", 6),
        ("{{ x }}{{ report.nothing }}", "'report' is a text and has no part 'nothing'.", 10),
        ("{{ m.kye }}", "'m' has no part 'kye'. Did you mean 'key'?", 3),
        ("{{ l[5] }}", "'l' has 1 items, none at 5.", 3),
        ("{{ n.x }}", "'n' is null and has no part 'x'.", 3),
    ],
)
def test_what_is_not_there_is_named_with_its_place(text: str, message: str, column: int) -> None:
    with pytest.raises(TemplateError) as caught:
        fill(text, report="r", m={"key": 1}, l=[1], n=None, x=1)
    assert caught.value.message == message
    assert caught.value.place == Place(path=None, line=7, column=column)


@pytest.mark.parametrize(
    ("text", "part", "line", "column"),
    [
        ("a {{ x", "expected '}}'", 7, 5),
        ("{% if x %}", "endif", 7, 3),
        ("{% nope %}", "nope", 7, 6),
        ("ab\n{{ x | upcse }}", "Did you mean 'upcase'?", 8, 8),
        ("a ${x + }", "A value is expected after `+`", 7, 11),
        ("a ${x y}", "After `x` an operator or `}` is expected, found 'y'.", 7, 9),
        ("${", "does not end", 7, 3),
        ('a ${m["}"]', "does not end", 7, 5),
        ("a\0{{ x }}", "NUL", 7, 4),
    ],
)
def test_syntax_faults_have_their_place(text: str, part: str, line: int, column: int) -> None:
    with pytest.raises(FaultsError) as caught:
        Template.parse(text, HERE)
    (fault,) = caught.value.faults
    assert fault.code in ("template-syntax", "condition-syntax")
    assert part in fault.message
    assert (fault.place.line, fault.place.column) == (line, column)


def test_places_stay_true_after_a_dollar_path_that_liquid_reads() -> None:
    with pytest.raises(TemplateError) as caught:
        fill("${x} {{ y | upcase }}", x=1)
    assert caught.value.place == Place(path=None, line=7, column=11)


def test_the_names_a_template_reads() -> None:
    text = "${a.b} {{ c | append: d }}{% for i in e %}{{ i }}{% endfor %}{% assign f = g %}{{ f }}"
    assert Template.parse(text, HERE).names == {"a", "c", "d", "e", "g"}
    assert Template.parse("${a.b} {{ c }}", HERE).names == {"a", "c"}
    assert Template.parse("x", HERE).is_plain


def test_prompts_leave_dollars_alone() -> None:
    template = Template.parse("${x} {{ x }} $${x}", HERE, LIQUID_ONLY)
    assert template.fill({"x": 1}) == "${x} 1 $${x}"


def test_partials_come_from_the_library_only() -> None:
    partials = {"sig": "-- {{ who }}", "bad": "{{ nothing }}"}.get
    template = Template.parse("{% render 'sig', who: me %}", HERE, partials=partials)
    assert template.fill({"me": "Ann"}) == "-- Ann"
    with pytest.raises(TemplateError, match="no prompt 'other'"):
        Template.parse("{% include 'other' %}", HERE, partials=partials).fill({})
    with pytest.raises(TemplateError, match="no prompt"):
        Template.parse("{% include '/etc/passwd' %}", HERE).fill({})


def test_loops_and_output_are_bounded() -> None:
    with pytest.raises(TemplateError, match="limit"):
        fill("{% for i in (1..1000) %}{% for j in (1..1000) %}x{% endfor %}{% endfor %}")
    with pytest.raises(TooLargeError, match="64 MB"):
        fill("{% for i in (1..99) %}{{ x }}{% endfor %}", x="x" * 700_000)
    with pytest.raises(TemplateError):
        Template.parse("{% include 'me' %}", HERE, partials=lambda _: "{% include 'me' %}").fill({})


OLD_SHELL = Rules(shell=True, is_old=True)


def test_in_an_old_file_a_name_that_is_unknown_is_left_to_the_shell() -> None:
    template = Template.parse("${HOME} ${x:-y} $${x} ${x}", HERE, OLD_SHELL)
    assert template.hold({"x": 1}, {"HOME"}) == ("${HOME}", " ${x:-y} ${x} ", Held(value=1))
    with pytest.raises(TemplateError, match="HOME"):
        template.hold({"x": 1}, set())
    tagged = Template.parse("{% if true %}${HOME}{% endif %}", HERE, OLD_SHELL)
    held = tagged.hold({}, {"HOME"})
    assert held == (Held(value="${HOME}", raw=True),)


def test_in_a_new_file_nothing_is_left_to_the_shell_unless_it_is_written_so() -> None:
    template = Template.parse("$${HOME} $HOME $${x:-y} $(id) ${x}", HERE, Rules(shell=True))
    assert template.hold({"x": 1}, {"x"}) == ("${HOME} $HOME ${x:-y} $(id) ", Held(value=1))
    for name in ("HOME", "x"):
        with pytest.raises(TemplateError, match=name):
            Template.parse(f"${{{name}}}", HERE, Rules(shell=True)).hold({}, {"HOME", "x"})


def test_what_only_the_shell_can_mean_is_a_fault_with_its_mending() -> None:
    for form in ("${x:-y}", "${x%.*}", "${#x}", "${x//a/b}", "${x:1:2}", "${x[@]}", "${#}"):
        (fault,) = Template.parse(f"echo {form} ${{y}}", HERE, Rules(shell=True)).faults
        assert (fault.severity, fault.place.column) == ("error", 8), form
        assert fault.fix is not None
        assert fault.fix.new == "$${"
        (hint,) = Template.parse(f"echo {form} ${{y}}", HERE, OLD_SHELL).faults
        assert hint.severity == "hint"


def test_tags_that_write_what_cannot_be_held_are_refused_in_a_shell_template() -> None:
    for tag in ("{% cycle a, b %}", "{% include 'x' %}", "{% increment n %}"):
        with pytest.raises(FaultsError, match="cannot be used here"):
            Template.parse(tag, HERE, Rules(shell=True))


@given(st.text(alphabet=st.sampled_from(list("{}%$|. ax1'\"[]\n-")), max_size=40))
def test_any_text_is_a_template_or_a_fault(text: str) -> None:
    try:
        template = Template.parse(text, HERE)
    except FaultsError as error:
        codes = {fault.code for fault in error.faults}
        assert codes <= {"template-syntax", "condition-syntax", "unknown-function"}
        return
    with contextlib.suppress(TemplateError):
        template.fill({"a": 1, "x": "t"})


@pytest.mark.parametrize(
    ("text", "advice"),
    [
        ("{{ n + 1 }}", "`n | plus: 1`"),
        ("{{ n - 1 }}", "`n | minus: 1`"),
        ("{% assign x = n * 2 %}", "`n | times: 1`"),
        ("{{ n / 2 }}", "`n | divided_by: 1`"),
        ("{{ n % 2 }}", "`n | modulo: 1`"),
        ("{{ n -1 }}", "`n | minus: 1`"),
        ("{% if a && b %}x{% endif %}", "`and`"),
        ("{% if !a %}x{% endif %}", "unless"),
        ("{% if not a %}x{% endif %}", "unless"),
        ("{{ a ? 1 : 2 }}", "default"),
        ("{{ size(n) }}", "`x | size`"),
        ("{{ a == b }}", "{% if"),
    ],
)
def test_what_other_languages_write_is_answered_with_what_liquid_has(text: str, advice: str) -> None:
    with pytest.raises(FaultsError, match=r"The template cannot be read") as caught:
        Template.parse(text, Place(path=None, line=1), LIQUID_ONLY)
    assert advice in caught.value.faults[0].message
