"""Texts taken apart: front matter, headings, fences and bullets, and where they stand."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from samovar.errors import Fault, FaultsError
from samovar.language.markdown import Document, Fence, parse_document
from tests.growth import assert_grows_with_size

HERE = Path("w.md")


def document(text: str, line: int = 1) -> Document:
    return parse_document(text, path=HERE, line=line)


def fault_of(text: str) -> Fault:
    with pytest.raises(FaultsError) as caught:
        document(text)
    (fault,) = caught.value.faults
    return fault


def test_headings_fences_and_front_matter_have_their_lines() -> None:
    read = document("---\na: 1\n---\n# One\n\n```mermaid\n# no heading\n```\n## Two\n")
    assert read.front_matter is not None
    assert read.front_matter.values == {"a": 1}
    assert [(heading.level, heading.title, heading.line) for heading in read.headings] == [
        (1, "One", 4),
        (2, "Two", 9),
    ]
    assert read.fences == (Fence(info="mermaid", line=6, end_line=8),)


def test_a_section_ends_at_the_next_heading_of_its_level_or_higher() -> None:
    read = document("## A\n### B\n#### C\n### D\n# E\n")
    a, b, c, _, _ = read.headings
    assert (read.end_of(a), read.end_of(b), read.end_of(c), read.end_of(a, 6)) == (5, 4, 4, 2)


@pytest.mark.parametrize("marks", ["```", "~~~", "````"])
@pytest.mark.parametrize("end", ["", "\n"])
def test_a_fence_that_is_not_closed_goes_to_the_end(marks: str, end: str) -> None:
    read = document(f"{marks}x\nfirst\nlast{end}")
    (fence,) = read.fences
    assert read.text(fence.line + 1, fence.end_line).rstrip() == "first\nlast"


@pytest.mark.parametrize("ends", ["\r\n", "\r", "\n"])
def test_line_ends_and_a_byte_order_mark_change_nothing(ends: str) -> None:
    text = "---\na: x\n---\n## B\n- c: d\n"
    read = document("\ufeff" + text.replace("\n", ends))
    assert read == document(text)


def test_bullets_may_be_indented_starred_and_continued() -> None:
    read = document("- a: one\n  more\n* b\n  + c: x\n    y\n\nno bullet\n- \n```\n- fenced\n```\n- d")
    found = [(bullet.text, bullet.place.line, bullet.place.column) for bullet in read.bullets(1, 13)]
    assert found == [("a: one\nmore", 1, 3), ("b", 3, 3), ("c: x\ny", 4, 5), ("d", 12, 3)]


def test_places_in_a_continued_bullet_are_those_of_the_file() -> None:
    (bullet,) = document("\n - a: one\n     more").bullets(1, 4)
    place = bullet.place.within(bullet.text, bullet.text.index("more"))
    assert (place.line, place.column) == (3, 6)
    again = place.within("more", 2)
    assert (again.line, again.column) == (3, 8)
    first = bullet.place.within(bullet.text, 3)
    assert (first.line, first.column) == (2, 7)


def test_later_lines_of_a_bullet_keep_what_they_are_indented_beyond_what_they_share() -> None:
    read = document("- a: b\n    for x:\n      y\n\n- c: d\n  e\n- f")
    first, second, third = read.bullets(1, 8)
    assert (first.text, first.end_line) == ("a: b\nfor x:\n  y", 4)
    assert (second.text, second.end_line, third.end_line) == ("c: d\ne", 7, 8)
    place = first.place.within(first.text, first.text.index("y"))
    assert (place.line, place.column) == (3, 7)


def test_a_heading_that_is_indented_within_a_list_item_is_a_line_of_it() -> None:
    read = document("## Actions\n\n- a: b\n  # c\n  d\n- e\n# f\n  # g\n> # h")
    assert [heading.title for heading in read.headings] == ["Actions", "f", "g", "h"]
    assert [bullet.text for bullet in read.bullets(2, 7)] == ["a: b\n# c\nd", "e"]


def test_a_text_within_a_file_has_the_places_of_the_file() -> None:
    read = document("---\nkey: 1\n---\n## A\n", line=40)
    assert read.place(4).line == 43
    assert (read.spot("key").line, read.spot("nothing").line) == (41, 40)


def test_keys_and_items_of_front_matter_have_their_places() -> None:
    read = document("---\ntitle: x\nparameters:\n  - name: a\n    type: b\n---\n")
    places = [read.spot("title"), read.spot("parameters", 0, "type"), read.spot("parameters", 0, "no")]
    assert [(place.line, place.column) for place in places] == [(2, 1), (5, 5), (4, 5)]


def test_plain_words_of_front_matter_are_those_of_yaml_1_2() -> None:
    read = document(
        "---\na: yes\nb: true\nc: 1:30\nd: 2024-01-01\ne: 1e3\nf: 0x1F\ng: 007\nh: ~\ni: -2.5\n---\n"
    )
    assert read.front_matter is not None
    assert read.front_matter.values == {
        "a": "yes",
        "b": True,
        "c": "1:30",
        "d": "2024-01-01",
        "e": 1000.0,
        "f": 31,
        "g": "007",
        "h": None,
        "i": -2.5,
    }


@pytest.mark.parametrize("text", ["", "---\n---\n", "---\n# only a comment\n---\n"])
def test_front_matter_may_be_empty_or_missing(text: str) -> None:
    matter = document(text).front_matter
    assert matter is None or matter.values == {}


BOMB = "a: &a [x, x]\n" + "".join(
    f"{chr(98 + n)}: &{chr(98 + n)} [*{chr(97 + n)}, *{chr(97 + n)}]\n" for n in range(20)
)


@pytest.mark.parametrize(
    ("text", "code", "line", "column", "part"),
    [
        ("---\na: 1\n", "front-matter", 1, 1, "no closing"),
        ("---\na: [1\n---\n", "front-matter", 3, 1, "not valid YAML"),
        ("---\na: 1\nb: c: d\n---\n", "front-matter", 3, 5, "not valid YAML"),
        ("---\n- a\n---\n", "front-matter", 2, 1, "`key: value`"),
        ("---\na: " + "[" * 5000 + "\n---\n", "front-matter", 1, 1, "50 deep"),
        ("---\na: &a 1\nb: [" + "*a," * 51 + "]\n---\n", "front-matter", 1, 1, "50 aliases"),
        (f"---\n{BOMB}---\n", "front-matter", 1, 1, "20000 values"),
        ("---\na: &a [*a]\n---\n", "front-matter", 1, 1, "value that contains it"),
        ("---\na: !!python/object:os.system x\n---\n", "front-matter", 1, 1, "tag"),
        ("---\na: !!int 1:1:1\n---\n", "front-matter", 1, 1, "tag"),
        ("---\n? [a]\n: b\n---\n", "front-matter", 2, 3, "not valid YAML"),
        ("---\na: " + "x" * 262_144 + "\n---\n", "front-matter", 1, 1, "256 kB"),
        ("one\ntwo \0\nthree\n", "not-text", 2, 5, "NUL"),
        ("x" * 4_000_001, "too-large", 1, 1, "4 MB"),
        ("x\n" * 200_001, "too-large", 1, 1, "200,000 lines"),
    ],
)
def test_what_cannot_be_read_is_one_fault_in_its_place(
    text: str, code: str, line: int, column: int, part: str
) -> None:
    fault = fault_of(text)
    assert part in fault.message
    assert (fault.code, fault.place.path, fault.place.line, fault.place.column) == (code, HERE, line, column)


@pytest.mark.slow
@pytest.mark.parametrize(
    "piece", ["### a\n", "```\nx\n```\n", "- a\n  b\n", "> ", "- ", "[", "`", "\n", "* * a\n", "\t", "<a "]
)
@pytest.mark.xdist_group("cpu")
def test_a_large_text_is_taken_apart_in_time_that_grows_with_its_size(piece: str) -> None:
    def prepare(size: int) -> Callable[[], object]:
        text = "## A\n" + piece * size

        def take_apart() -> None:
            read = document(text)
            for heading in read.headings:
                read.end_of(heading, 6)
            sum(1 for _ in read.bullets(1, len(read.lines) + 1))

        return take_apart

    assert_grows_with_size(prepare, min(300_000 // len(piece), 60_000 // max(piece.count("\n"), 1)))


MARKDOWN = st.lists(
    st.sampled_from(
        [
            "---\n",
            "a: b\n",
            "- x\n",
            "  y\n",
            "```",
            "~~~",
            "\n",
            "# ",
            ": ",
            "&a ",
            "*a ",
            "\0",
            ">",
            "\r",
            "\ufeff",
            "[",
            "{",
        ]
    )
    | st.text(max_size=6)
).map("".join)


@pytest.mark.slow
@settings(max_examples=300)
@given(MARKDOWN)
def test_any_text_is_taken_apart_or_has_faults_within_it(text: str) -> None:
    lines = text.replace("\r\n", "\n").replace("\r", "\n").split("\n")
    try:
        read = document(text)
    except FaultsError as error:
        for fault in error.faults:
            assert 1 <= fault.place.line <= len(lines)
            assert 1 <= fault.place.column <= len(lines[fault.place.line - 1]) + 1
        return
    assert len(read.lines) == len(lines)
    for fence in read.fences:
        assert 1 <= fence.line < fence.end_line <= len(lines) + 1


@pytest.mark.parametrize("depth", [9, 10, 11, 30])
def test_what_follows_a_deep_list_is_still_document(depth: int) -> None:
    nested = "\n".join("  " * level + "- x" for level in range(depth))
    assert [one.title for one in document(f"{nested}\n\n# After\n").headings] == ["After"]


def test_keys_that_stand_twice_are_known_with_their_path() -> None:
    read = document("---\na: 1\nb:\n  - c: 1\n    c: 2\na: 2\n---\n")
    assert read.front_matter is not None
    assert set(read.front_matter.twice) == {("a",), ("b", 0, "c")}
    assert read.spot("a").line == 6
