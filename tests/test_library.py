"""The library: where names are looked up, what may not be left, and what a bad file does not spoil."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from samovar.actions import parse_action
from samovar.errors import FaultsError, NotFoundError, TemplateError, UsageError
from samovar.files import read_text
from samovar.folders import find_project_folders, name_of
from samovar.library import Library

FLOW = "# {}\n\n```mermaid\nstateDiagram-v2\n[*] --> A\nA --> [*]\n```\n"


def write(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    return path


def flow(path: Path, title: str = "x") -> Path:
    return write(path, f"---\ntitle: {title}\n---\n" + FLOW.format(title))


def library(*folders: Path) -> Library:
    return Library([(folder.name, folder) for folder in folders], parse_action)


def test_project_folders_go_from_here_to_the_repository_nearest_first(tmp_path: Path) -> None:
    for folder in (
        ".samovar",
        "repo/.git",
        "repo/.sah",
        "repo/.samovar",
        "repo/a/.swissarmyhammer",
        "repo/a/b",
    ):
        (tmp_path / folder).mkdir(parents=True)
    found = [path.relative_to(tmp_path).as_posix() for _, path in find_project_folders(tmp_path / "repo/a/b")]
    assert found == ["repo/a/.swissarmyhammer", "repo/.samovar", "repo/.sah"]


def test_the_nearest_folder_wins_for_workflows_and_prompts(tmp_path: Path) -> None:
    for folder in ("near", "far"):
        flow(tmp_path / folder / "workflows/w.md", folder)
        write(tmp_path / folder / "prompts/p.md", folder)
    flow(tmp_path / "far/workflows/only.md")
    found = library(tmp_path / "near", tmp_path / "far")
    assert found.workflow("w").title == "near"
    assert found.prompt("p").render({}, {}) == "near"
    assert [(entry.name, entry.source) for entry in found.workflows()] == [("only", "far"), ("w", "near")]


def test_beside_the_file_comes_before_every_folder(tmp_path: Path) -> None:
    flow(tmp_path / "here/w.md", "beside")
    main = flow(tmp_path / "here/main.md")
    flow(tmp_path / "lib/workflows/w.md", "library")
    write(tmp_path / "lib/prompts/p.md", "library")
    write(tmp_path / "lib/prompts/q.md", "library")
    write(tmp_path / "here/p.md", "beside")
    write(tmp_path / "here/prompts/q.md", "below")
    write(tmp_path / "here/q.md", "beside")
    found = library(tmp_path / "lib")
    workflow = found.workflow(str(main))
    assert found.workflow("w", beside=main.parent).title == "beside"
    assert found.workflow("w").title == "library"
    assert found.prompt("p", workflow=workflow).render({}, {}) == "beside"
    assert found.prompt("q", workflow=workflow).render({}, {}) == "below"
    assert found.prompt("p").render({}, {}) == "library"


def test_a_workflows_own_prompt_comes_first(tmp_path: Path) -> None:
    main = write(tmp_path / "main.md", FLOW.format("x") + "## Prompts\n### p\nown\n")
    write(tmp_path / "p.md", "beside")
    found = library()
    assert found.prompt("p", workflow=found.workflow(str(main))).render({}, {}) == "own"


def test_a_workflow_is_no_prompt_of_its_own(tmp_path: Path) -> None:
    main = flow(tmp_path / "main.md")
    found = library()
    with pytest.raises(NotFoundError):
        found.prompt("main", workflow=found.workflow(str(main)))


@pytest.mark.parametrize(
    "ending", [".md", ".markdown", ".liquid", ".md.liquid", ".markdown.liquid", ".mermaid.liquid"]
)
def test_every_ending_may_be_left_out(tmp_path: Path, ending: str) -> None:
    write(tmp_path / f"prompts/deep/er/p{ending}", "text")
    found = library(tmp_path)
    assert found.prompt("deep/er/p").render({}, {}) == "text"
    assert [entry.name for entry in found.prompts()] == ["deep/er/p"]
    assert name_of(Path(f"p{ending}")) == "p"


def test_a_mermaid_file_is_a_workflow(tmp_path: Path) -> None:
    write(tmp_path / "workflows/sub/w.mermaid", "---\ntitle: T\n---\nstateDiagram-v2\n[*] --> A\nA --> [*]\n")
    workflow = library(tmp_path).workflow("sub/w")
    assert (workflow.name, workflow.title, list(workflow.states)) == ("sub/w", "T", ["A"])


def test_the_default_system_prompt_is_named_dot_system(tmp_path: Path) -> None:
    assert library(tmp_path).system_prompt(None) is None
    write(tmp_path / "prompts/.system.md", "Be brief.")
    system = library(tmp_path).system_prompt(None)
    assert system is not None
    assert system.render({}, {}) == "Be brief."


@pytest.mark.parametrize(
    "name",
    [
        "../secret",
        "../secret.md",
        "a/../../secret",
        "link",
        "folder/secret",
        "",
        ".",
        "..",
        "x\0y",
        "p" * 5000,
    ],
)
def test_no_name_leaves_its_folder(tmp_path: Path, name: str) -> None:
    secret = flow(tmp_path / "lib/secret.md")
    for kind in ("workflows", "prompts"):
        folder = tmp_path / "lib" / kind
        (folder / "a").mkdir(parents=True)
        (folder / "link.md").symlink_to(secret)
        (folder / "folder").symlink_to(secret.parent, target_is_directory=True)
    found = library(tmp_path / "lib")
    with pytest.raises(NotFoundError):
        found.prompt(name)
    with pytest.raises(NotFoundError):
        found.workflow(name, beside=tmp_path / "lib/workflows")
    assert found.workflows() == found.prompts() == []


def test_an_absolute_name_leaves_no_folder_but_a_person_may_give_a_path(tmp_path: Path) -> None:
    other = flow(tmp_path / "elsewhere/w.md")
    found = library(tmp_path / "lib")
    with pytest.raises(NotFoundError):
        found.workflow(str(other), beside=tmp_path / "lib")
    with pytest.raises(NotFoundError):
        found.prompt(str(other))
    assert found.workflow(str(other)).name == "w"


def test_links_within_a_folder_are_followed_and_circles_of_links_are_not(tmp_path: Path) -> None:
    flow(tmp_path / "workflows/w.md")
    (tmp_path / "workflows/same.md").symlink_to("w.md")
    (tmp_path / "workflows/loop.md").symlink_to("loop.md")
    (tmp_path / "workflows/up").symlink_to("..", target_is_directory=True)
    found = library(tmp_path)
    assert found.workflow("same").name == "same"
    assert [entry.name for entry in found.workflows()] == ["same", "w"]
    with pytest.raises(NotFoundError):
        found.workflow("loop", beside=tmp_path)


def test_a_bad_file_is_one_entry_with_its_fault_and_hides_no_other(tmp_path: Path) -> None:
    bad = {
        "yaml.md": b"---\na: [\n---\n",
        "binary.md": b"\xff\xfe\0",
        "nul.md": b"a\0b",
        "empty.md": b"",
        "kind.md": b"```mermaid\nflowchart TD\n```\n",
    }
    for name, content in bad.items():
        write(tmp_path / "workflows" / name, "").write_bytes(content)
    flow(tmp_path / "workflows/good.md")
    write(tmp_path / "prompts/bad.md", "{% if %}")
    write(tmp_path / "prompts/good.md", "text")
    write(tmp_path / "prompts/part.md", "{% partial %}text")
    found = library(tmp_path)
    assert {entry.name: entry.fault is None for entry in found.workflows()} == {
        "binary": False, "empty": False, "good": True, "kind": False, "nul": False, "yaml": False,
    }  # fmt: skip
    assert {entry.name: entry.fault is None for entry in found.prompts()} == {"bad": False, "good": True}
    (kind,) = (entry for entry in found.workflows() if entry.name == "kind")
    assert kind.fault is not None
    assert f"{kind.path}:2:1: error:" in kind.fault


def test_a_name_that_is_not_there_offers_the_nearest(tmp_path: Path) -> None:
    main = flow(tmp_path / "main.md")
    flow(tmp_path / "lib/workflows/triage.md")
    write(tmp_path / "lib/prompts/mail/summary.md", "x")
    write(tmp_path / "prompts/deep/verdict.md", "x")
    found = library(tmp_path / "lib")
    workflow = found.workflow(str(main))
    with pytest.raises(NotFoundError, match=r"no workflow 'triag'\. Did you mean 'triage'\?"):
        found.workflow("triag")
    with pytest.raises(NotFoundError, match=r"no workflow 'mian'\. Did you mean 'main'\?"):
        found.workflow("mian", beside=tmp_path)
    with pytest.raises(NotFoundError, match=r"no prompt 'mail/sumary'\. Did you mean 'mail/summary'\?"):
        found.prompt("mail/sumary")
    with pytest.raises(NotFoundError, match=r"Did you mean 'deep/verdict'\?"):
        found.prompt("deep/verdct", workflow=workflow)


@pytest.mark.parametrize(
    "reference", ["a\0b", "a/\0.md", "\0/x", "x" * 5000 + ".md", "no/such/file.md", "~/x.md"]
)
def test_a_path_that_cannot_be_is_not_found(tmp_path: Path, reference: str) -> None:
    with pytest.raises(NotFoundError):
        library(tmp_path).workflow(reference)


def test_a_file_that_changed_is_read_again(tmp_path: Path) -> None:
    path = write(tmp_path / "prompts/p.md", "one")
    found = library(tmp_path)
    assert found.prompt("p").render({}, {}) == "one"
    path.write_text("two")
    os.utime(path, ns=(1, 1))
    assert found.prompt("p").render({}, {}) == "two"


def test_a_prompt_takes_in_others_of_the_library_only(tmp_path: Path) -> None:
    write(tmp_path / "secret.md", "secret")
    write(tmp_path / "lib/prompts/parts/head.md", "{% partial %}Head")
    write(tmp_path / "lib/prompts/p.md", "{% render 'parts/head' %} and body")
    assert library(tmp_path / "lib").prompt("p").render({}, {}) == "Head and body"
    write(tmp_path / "lib/prompts/q.md", "{% render '../../secret' %}")
    with pytest.raises(TemplateError, match=r"q\.md:1:11: .*no prompt '\.\./\.\./secret'"):
        library(tmp_path / "lib").prompt("q").render({}, {})


def test_what_is_no_text_file_says_what_it_is(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "latin.md").write_bytes("one\nzwölf\n".encode("latin-1"))
    (tmp_path / "large.md").write_bytes(b"x" * 10_000_001)
    os.mkfifo(tmp_path / "pipe.md")
    with pytest.raises(UsageError, match="is a folder"):
        read_text(tmp_path / "folder")
    with pytest.raises(UsageError, match="larger than 4 MB"):
        read_text(tmp_path / "large.md")
    with pytest.raises(UsageError, match="not a regular file"):
        read_text(tmp_path / "pipe.md")
    with pytest.raises(UsageError, match="There is no file"):
        read_text(tmp_path / "none.md")
    with pytest.raises(FaultsError) as caught:
        read_text(tmp_path / "latin.md")
    (fault,) = caught.value.faults
    assert (fault.place.line, fault.place.column) == (2, 3)


PLACES = (
    "beside",
    "a/.samovar",
    "a/.swissarmyhammer",
    "a/.sah",
    ".samovar",
    ".swissarmyhammer",
    ".sah",
    "user",
    "built-in",
)
"""From the nearest to the farthest, of a person in the folder `a` of a repository."""


@pytest.mark.slow
@settings(max_examples=60)
@given(having=st.sets(st.sampled_from(PLACES), min_size=1), bad=st.sets(st.sampled_from(PLACES)))
def test_of_all_that_have_a_name_the_nearest_is_taken_whatever_is_in_it(
    tmp_path_factory: pytest.TempPathFactory, having: set[str], bad: set[str]
) -> None:
    root = tmp_path_factory.mktemp("r")
    (root / ".git").mkdir()
    (root / "a").mkdir()
    main = flow(root / "main/main.md")
    for place in PLACES:
        folder = root / ("main" if place == "beside" else place)
        below = folder if place == "beside" else folder / "workflows"
        prompts = folder if place == "beside" else folder / "prompts"
        if place in having:
            flow(below / "w.md", place) if place not in bad else write(below / "w.md", "no diagram")
            write(prompts / "p.md", place)
        flow(below / f"only-{place.replace('/', '-')}.md")
    folders = [*find_project_folders(root / "a"), ("user", root / "user"), ("built-in", root / "built-in")]
    found = Library(folders, parse_action)
    order = [place for place in PLACES if place in having]
    if order[0] in bad:
        with pytest.raises(FaultsError):
            found.workflow("w", beside=main.parent)
    else:
        assert found.workflow("w", beside=main.parent).title == order[0]
    assert found.prompt("p", workflow=found.workflow(str(main))).render({}, {}) == order[0]
    far = [place for place in order if place != "beside"]
    listed = {entry.name: entry for entry in found.workflows()}
    assert len([name for name in listed if name.startswith("only-")]) == len(PLACES) - 1
    assert all(entry.fault is None for name, entry in listed.items() if name != "w")
    if far:
        entry = listed["w"]
        files = [entry.path, *(path for _, path in entry.shadows)]
        assert [str(path.parent.parent.relative_to(root)) for path in files] == far
        assert (entry.fault is not None) == (far[0] in bad)
        assert found.prompt("p").render({}, {}) == far[0]


def test_of_two_endings_the_list_names_the_one_that_is_taken(tmp_path: Path) -> None:
    flow(tmp_path / "workflows/w.markdown", "later")
    flow(tmp_path / "workflows/w.md", "taken")
    found = library(tmp_path)
    (entry,) = found.workflows()
    assert entry.title == found.workflow("w").title == "taken"
    assert [path.name for _, path in entry.shadows] == ["w.markdown"]


def test_a_nearer_partial_hides_a_prompt_also_in_the_list(tmp_path: Path) -> None:
    write(tmp_path / "near/prompts/p.md", "{% partial %}part")
    write(tmp_path / "far/prompts/p.md", "whole")
    assert library(tmp_path / "near", tmp_path / "far").prompts() == []


def test_links_out_of_a_folder_are_neither_listed_nor_found_whatever_leads_there(tmp_path: Path) -> None:
    outside = flow(tmp_path / "outside/secret.md")
    write(tmp_path / "outside/words.md", "secret words")
    for kind in ("workflows", "prompts"):
        folder = tmp_path / "lib" / kind
        folder.mkdir(parents=True)
        (folder / "file.md").symlink_to(outside)
        (folder / "again.md").symlink_to("file.md")
        (folder / "linked").symlink_to(outside.parent, target_is_directory=True)
        (folder / "relative").symlink_to("../../outside", target_is_directory=True)
        (folder / "round").symlink_to(".", target_is_directory=True)
        (folder / "one.md").symlink_to("two.md")
        (folder / "two.md").symlink_to("one.md")
        (folder / "gone.md").symlink_to("nowhere.md")
    main = flow(tmp_path / "main/main.md")
    (tmp_path / "main/near.md").symlink_to(outside)
    write(tmp_path / "lib/prompts/p.md", "{% render 'linked/words' %}")
    found = library(tmp_path / "lib")
    assert found.workflows() == []
    assert [entry.name for entry in found.prompts()] == ["p"]
    names = ["file", "again", "linked/secret", "relative/secret", "round/file", "one", "gone", "near",
             "linked/../linked/secret", "round/../../outside/secret", "./../../outside/secret"]  # fmt: skip
    for name in names:
        with pytest.raises((NotFoundError, UsageError)):
            found.workflow(name, beside=main.parent)
        with pytest.raises(NotFoundError):
            found.prompt(name, workflow=found.workflow(str(main)))
    with pytest.raises(TemplateError, match="no prompt"):
        found.prompt("p").render({}, {})


def test_no_prompts_name_leads_to_a_file_of_another_kind(tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("SECRET=hunter2")
    (tmp_path / "notes.txt").write_text("private")
    (tmp_path / "w.md").write_text(
        '```mermaid\nstateDiagram-v2\n[*] --> A\nA --> [*]\n```\n\n## Actions\n\n- A: Log "x"\n'
    )
    library = Library([], parse_action)
    workflow = library.workflow(str(tmp_path / "w.md"))
    for name in (".env", "notes.txt", "../" + tmp_path.name + "/.env"):
        with pytest.raises(NotFoundError):
            library.prompt(name, workflow=workflow)


def test_a_file_without_an_ending_is_read_and_a_folder_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "plain").write_text("```mermaid\nstateDiagram-v2\n[*] --> A\nA --> [*]\n```\n")
    library = Library([], parse_action)
    assert library.workflow("plain").name == "plain"
    for folder in (".", str(tmp_path)):
        with pytest.raises(UsageError, match="is a folder"):
            library.workflow(folder)


def test_a_workflow_beside_is_no_prompt(tmp_path: Path) -> None:
    diagram = "```mermaid\nstateDiagram-v2\n[*] --> A\nA --> [*]\n```\n"
    write(tmp_path / "workflows/sum.md", diagram)
    write(tmp_path / "prompts/sum.md", "Sum {{ x }}")
    path = write(tmp_path / "workflows/w.md", diagram)
    found = library(tmp_path)
    assert found.prompt("sum", workflow=found.workflow(str(path))).template.text.strip() == "Sum {{ x }}"
