"""`samovar chat`: branches that cost nothing, commands, what is saved, and the terminal."""

from __future__ import annotations

import json
import os
import pty
import re
import select
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from datetime import date
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

import samovar as samovar_package
from samovar.cli.chat_branches import ChatBranch, ChatExchange, ChatTree
from samovar.cli.chat_commands import COMMANDS, Desk, Quit, is_command, message_of, perform
from samovar.cli.chat_history import MOST_BYTES, keep, read_history
from samovar.cli.chat_saving import workflow_of
from samovar.config import Settings
from samovar.errors import SamovarError, UsageError
from samovar.executors.base import ExecutorAbilities, PromptReply
from samovar.generation import FinishReason, Message, Options, TokenCounts
from tests.test_cli import TIMEOUT_S, environment
from tests.warm import warm

ABLE = ExecutorAbilities(sessions=True, fork=True)
OPTIONS = Options(max_tokens=8, overflow="drop_oldest")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / ".git").mkdir()
    return tmp_path


def chat(folder: Path, model: Path, *arguments: str, stdin: str = "") -> subprocess.CompletedProcess[str]:
    return warm().run(
        ["chat", "--model", str(model), "--max-tokens", "8", *arguments],
        folder=folder,
        environment=environment(folder),
        stdin=stdin,
        timeout_s=TIMEOUT_S,
    )


# Branches ----------------------------------------------------------------------------------------------


class Talk:
    """A conversation with an executor that answers at once, and remembers what each of its sessions holds."""

    def __init__(self, able: ExecutorAbilities = ABLE) -> None:
        self.able = able
        self.conversation = ChatTree(OPTIONS)
        self.held: dict[str, list[str]] = {}
        self.heard: list[list[str]] = []
        """What the executor knew of each prompt, itself included."""

    def say(self, text: str, *, fails: bool = False) -> None:
        request = self.conversation.request(text, self.able)
        before = self.held.get(request.fork or request.session or "", [])
        if request.fork is None and request.session not in self.held:
            assert before == []
        said = [*before, *(message.content for message in request.messages)]
        self.heard.append(said)
        if fails:
            if request.session is not None:
                self.held[request.session] = [*said, "half"]
            self.conversation.unanswered()
        else:
            if request.session is not None:
                self.held[request.session] = [*said, f"<{text}>"]
            reply = PromptReply(text=f"<{text}>", finish_reason=FinishReason.STOP, model="m")
            self.conversation.answered(request, reply)
        for name in self.conversation.left_over():
            self.held.pop(name, None)

    @property
    def whole(self) -> list[str]:
        return [message.content for message in self.conversation.branch.messages]


def test_a_fork_goes_on_from_what_is_held_and_neither_hears_the_other() -> None:
    talk = Talk()
    talk.say("a")
    talk.conversation.fork("other")
    talk.say("b")
    talk.conversation.back()
    talk.say("c")
    assert talk.heard == [["a"], ["a", "<a>", "b"], ["a", "<a>", "c"]]
    assert talk.conversation.branch.name == "main"
    assert len(talk.held) == 2


def test_a_turn_that_failed_is_heard_of_by_nobody() -> None:
    talk = Talk()
    talk.say("a")
    talk.say("b", fails=True)
    talk.say("c")
    assert talk.heard[-1] == ["a", "<a>", "c"] and len(talk.held) == 1


def test_another_model_or_system_prompt_hears_all_that_was_said() -> None:
    talk = Talk()
    talk.say("a")
    talk.conversation.change(model="other")
    talk.say("b")
    talk.conversation.change(system="be brief")
    talk.say("c")
    assert talk.heard[1:] == [["a", "<a>", "b"], ["be brief", "a", "<a>", "b", "<b>", "c"]]
    talk.conversation.change(system=None)
    talk.say("d")
    assert talk.heard[-1][0] == "a"


STEPS = st.lists(st.sampled_from(["say", "fail", "fork", "fork x", "back", "model", "system"]), max_size=25)


@given(steps=STEPS, sessions=st.booleans(), fork=st.booleans())
def test_whatever_is_done_an_executor_hears_just_the_branch(
    steps: Sequence[str], sessions: bool, fork: bool
) -> None:
    talk = Talk(ExecutorAbilities(sessions=sessions, fork=fork and sessions))
    for number, step in enumerate(steps):
        before = talk.whole
        if step in ("say", "fail"):
            talk.say(f"{number}", fails=step == "fail")
            assert talk.heard[-1] == [*before, f"{number}"]
            assert talk.whole == (before if step == "fail" else [*before, f"{number}", f"<{number}>"])
        elif step == "back":
            try:
                talk.conversation.back()
            except UsageError:
                assert talk.conversation.branch.parent is None
        elif step.startswith("fork"):
            talk.conversation.fork(step.partition(" ")[2] or None)
        else:
            talk.conversation.change(**{step: f"{number}"})
        assert len(talk.held) <= len(talk.conversation.names)


# Commands ----------------------------------------------------------------------------------------------


def desk() -> Desk:
    conversation = ChatTree(OPTIONS)
    return Desk(conversation=conversation, settings=Settings(), options=OPTIONS)


def answered(conversation: ChatTree, text: str) -> None:
    request = conversation.request(text, ABLE)
    tokens = TokenCounts(evaluated=3, reused=4, generated=2)
    conversation.answered(
        request, PromptReply(text="ok", finish_reason=FinishReason.STOP, model="m", tokens=tokens)
    )


def test_every_command_is_in_the_help() -> None:
    said = perform(desk(), "/help")
    assert all(f"/{name}" in said for name in COMMANDS)
    wanted = "help file fork back model executor system tools history tokens save quit"
    assert set(COMMANDS) == set(wanted.split())


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("/fil x", "/file"),
        ("/file", "takes the path"),
        ("/file none.txt", "none.txt"),
        ("/back", "was not forked"),
        ("/fork a b", "a name of letters"),
        ("/model there-is-none", "There is no model"),
        ("/executor nobody", "There is no executor 'nobody'"),
        ("/save x.txt", "Markdown"),
        ("/save x.md", "Nothing was said"),
    ],
)
def test_what_cannot_be_done_is_said_and_changes_nothing(text: str, says: str) -> None:
    at = desk()
    before = at.conversation.branch
    with pytest.raises(SamovarError) as caught:
        perform(at, text)
    assert says in str(caught.value) and at.conversation.branch == before


def test_a_file_goes_before_what_is_said_next_in_a_fence_that_it_cannot_close(tmp_path: Path) -> None:
    path = tmp_path / "a.md"
    path.write_text("```\ncode\n```")
    at = desk()
    assert "goes with what you say next" in perform(at, f"/file {path}")
    said = at.conversation.request("What is this?", ABLE).messages[-1].content
    assert said == "The file a.md:\n\n````\n```\ncode\n```\n````\n\nWhat is this?"
    answered(at.conversation, "What is this?")
    assert at.conversation.attached == ()


def test_tokens_are_counted_over_all_branches() -> None:
    at = desk()
    answered(at.conversation, "a")
    perform(at, "/fork")
    answered(at.conversation, "b")
    said = perform(at, "/tokens")
    assert "on fork-1: 9 tokens in 2 exchanges" in said
    assert "in all: 6 evaluated, 8 reused, 4 generated" in said


def test_one_slash_is_a_command_and_two_are_said_as_one() -> None:
    assert is_command("/help") and not is_command("//etc") and not is_command(" /x") and not is_command("a/b")
    assert message_of("//etc") == "/etc" and message_of("a // b") == "a // b"
    with pytest.raises(Quit):
        perform(desk(), "/quit")


# Saving ------------------------------------------------------------------------------------------------

TEXTS = st.text(
    alphabet=st.characters(exclude_categories=["Cs"]) | st.sampled_from("${}%\"'\\`#:- \n\t|>&*!"),
    min_size=1,
    max_size=40,
).filter(str.strip)


def branch_of(texts: Sequence[str], system: str | None = None) -> ChatBranch:
    answer = Message(role="assistant", content="ok")
    exchanges = tuple(
        ChatExchange(
            said=Message(role="user", content=text),
            answers=(answer,),
            model="m",
            executor="",
            tokens=TokenCounts(),
        )
        for text in texts
    )
    return ChatBranch(name="main", exchanges=exchanges, system=system)


def asked_by(text: str) -> list[tuple[str, ...]]:
    """The messages of each prompt of a workflow, when it runs."""
    asked: list[tuple[str, ...]] = []

    def script(messages: Sequence[Message]) -> str:
        asked.append(tuple(message.content for message in messages))
        return "ok"

    with samovar_package.open_blocking(script=script) as app:
        report = app.run(text)
    assert str(report.ending) == "completed", report.error
    return asked


@pytest.mark.slow
@given(texts=st.lists(TEXTS, min_size=1, max_size=3), system=st.none() | TEXTS)
def test_a_saved_conversation_says_the_same_when_it_is_run(texts: list[str], system: str | None) -> None:
    text = workflow_of(branch_of(texts, system), OPTIONS, date(2026, 11, 27))
    first = () if system is None else (system,)
    wanted = []
    for count, said in enumerate(texts):
        before = [one for earlier in texts[:count] for one in (earlier, "ok")]
        wanted.append((*first, *before, said))
    assert asked_by(text) == wanted


def test_what_is_saved_has_no_faults_and_no_warnings(folder: Path) -> None:
    at = desk()
    perform(at, "/system Be ${brief} {{ and }} plain.")
    answered(at.conversation, "Why?\n\n- a list\n# a heading ${x}")
    answered(at.conversation, "12")
    path = folder / "talk.md"
    assert perform(at, f"/save {path}") == f"Wrote {path}. Run it: samovar run {path}"
    done = warm().run(
        ["check", "talk.md", "--strict"],
        folder=folder,
        environment=environment(folder),
        stdin="",
        timeout_s=TIMEOUT_S,
    )
    assert done.returncode == 0, done.stdout
    with pytest.raises(UsageError, match="is there already"):
        perform(at, f"/save {path}")


# History -----------------------------------------------------------------------------------------------


def test_what_was_typed_is_kept_for_its_owner_only_and_keys_are_not(tmp_path: Path) -> None:
    path = tmp_path / "state" / "history"
    for text in (
        "first",
        "two\nlines",
        " not this",
        "my token is sk-proj-8fJ2kQ9vLx3TzW7rYbN5mC1a",
        "",
        "last",
    ):
        keep(path, text)
    assert read_history(path) == ["last", "two\nlines", "first"]
    assert path.stat().st_mode & 0o777 == 0o600
    assert read_history(tmp_path / "none") == []
    path.write_text('not json\n3\n"good"\n')
    assert read_history(path) == ["good"]


def test_the_history_is_bounded(tmp_path: Path) -> None:
    path = tmp_path / "history"
    line = json.dumps("x" * 999) + "\n"
    path.write_text(line * (MOST_BYTES // len(line)))
    for number in range(3):
        keep(path, f"{number}" + "y" * 5000)
    assert path.stat().st_size < MOST_BYTES and read_history(path)[0].startswith("2y")
    assert all(isinstance(text, str) for text in read_history(path))


# The command -------------------------------------------------------------------------------------------


def test_a_text_is_answered_and_standard_input_is_one_with_a_dash(folder: Path, tiny_model: Path) -> None:
    one = chat(folder, tiny_model, "Say something")
    assert one.returncode == 0 and one.stdout.endswith("\n")
    assert one.stderr in ("", "The answer was cut off; --max-tokens N gives it more room.\n")
    same = chat(folder, tiny_model, "-", stdin="Say something")
    assert same.stdout == one.stdout
    # What is read is data: no line of it is a command.
    told = chat(folder, tiny_model, "-", "--json", stdin="/quit\n/file /etc/passwd\n")
    assert len(told.stdout.splitlines()) == 1 and "text" in json.loads(told.stdout)


def test_lines_are_a_conversation_and_a_fork_evaluates_nothing_again(folder: Path, tiny_model: Path) -> None:
    said = "Tell me a very long story about a tree\n/fork other\nAnd then?\n/back\nWhy?\n/tokens\n"
    done = chat(folder, tiny_model, "--json", stdin=said)
    assert (done.returncode, done.stderr) == (0, "")
    first, fork, other, back, why, tokens = map(json.loads, done.stdout.splitlines())
    assert first["tokens"]["evaluated"] > 20 and first["branch"] == "main" and first["cost"] == 0
    assert fork["command"] == "/fork other" and other["branch"] == "other" and why["branch"] == "main"
    assert back["said"] == "On main."
    for answer in (other, why):
        assert answer["tokens"]["reused"] >= first["tokens"]["evaluated"]
        assert answer["tokens"]["evaluated"] < first["tokens"]["evaluated"] + 10
    assert "in all: " in tokens["said"]


def test_an_error_ends_a_script_with_its_status(folder: Path, tiny_model: Path) -> None:
    done = chat(folder, tiny_model, stdin="/nothing\nhello\n")
    assert done.returncode == 2 and done.stdout == "" and "There is no /nothing" in done.stderr
    done = chat(folder, tiny_model, "--json", stdin="/nothing\nhello\n")
    assert done.returncode == 2 and json.loads(done.stdout)["error"]["code"] == "usage"
    done = chat(folder, folder / "none.gguf", "hello")
    assert done.returncode != 0 and done.stderr.startswith("samovar: ") and "Traceback" not in done.stderr
    assert chat(folder, tiny_model, "--executor", "nobody", "x").returncode == 2


def test_a_conversation_can_be_saved_and_run(folder: Path, tiny_model: Path) -> None:
    done = chat(folder, tiny_model, stdin="Say something\nAnd more\n/save talk.md\n")
    assert done.returncode == 0, done.stderr
    ran = warm().run(
        ["run", "talk.md", "--json"],
        folder=folder,
        environment=environment(folder),
        stdin="",
        timeout_s=TIMEOUT_S,
    )
    told = json.loads(ran.stdout)
    assert told["status"] == "completed" and told["result"] == done.stdout.splitlines()[-1]


# At a terminal -----------------------------------------------------------------------------------------


class Terminal:
    """`samovar chat` at a terminal. `shown` is all that it has written."""

    def __init__(self, folder: Path, *arguments: str, term: str = "xterm-256color") -> None:
        self._ours, theirs = pty.openpty()
        variables = {"TERM": term, "PROMPT_TOOLKIT_NO_CPR": "1", "XDG_STATE_HOME": str(folder / "state")}
        self.process = subprocess.Popen(
            [sys.executable, "-m", "samovar", "chat", *arguments],
            cwd=folder,
            env=environment(folder) | variables,
            stdin=theirs,
            stdout=theirs,
            stderr=theirs,
            start_new_session=True,
        )
        os.close(theirs)
        self.shown = ""

    def until(self, seen: Callable[[str], bool]) -> str:
        """Reads until what is shown is as it should be; all of it since the last time."""
        begun, end = len(self.shown), time.monotonic() + TIMEOUT_S
        while not seen(self.shown[begun:]):
            assert time.monotonic() < end, self.shown
            if select.select([self._ours], [], [], 1)[0]:
                try:
                    read = os.read(self._ours, 65536)
                except OSError:
                    read = b""
                assert read, self.shown
                self.shown += read.decode("utf-8", "replace")
        return self.shown[begun:]

    def type(self, text: str) -> None:
        os.write(self._ours, text.encode())

    def end(self) -> int:
        while select.select([self._ours], [], [], TIMEOUT_S)[0]:
            try:
                read = os.read(self._ours, 65536)
            except OSError:
                break
            if not read:
                break
            self.shown += read.decode("utf-8", "replace")
        return self.process.wait(TIMEOUT_S)

    def close(self) -> None:
        os.close(self._ours)
        self.process.kill()
        self.process.wait()


def plain(text: str) -> str:
    """What a terminal shows, without where it is: a blank may be a step of the cursor."""
    return re.sub(r"\x1b\[[?0-9;]*[A-Za-z]", "", re.sub(r"\x08*\x1b\[\d*C", " ", text))


def is_prompt(text: str) -> bool:
    return re.search(r"(^|[\n\r])> ", plain(text)) is not None


@pytest.mark.slow
def test_a_person_talks_forks_and_leaves(folder: Path, tiny_model: Path) -> None:
    at = Terminal(folder, "--model", str(tiny_model), "--max-tokens", "6")
    try:
        at.until(is_prompt)
        at.type("Hello there\r")
        at.until(lambda text: "loading" in text and is_prompt(text.partition("loading")[2]))
        at.type("/fork side\r")
        at.until(lambda text: "side> " in plain(text))
        at.type("\x1b\r")  # Alt-Enter: a new line
        at.type("more\r")
        at.until(lambda text: "cut off" in text and "side> " in plain(text.partition("cut off")[2]))
        at.type("\x03")
        at.type("\x04")
        assert at.end() == 0
        assert "Traceback" not in at.shown
        # What the model says has bytes of every kind; none of them does anything to the terminal.
        assert not re.search("[\x00-\x07\x0b\x0c\x0e-\x1a\x7f-\x9f]", at.shown)
    finally:
        at.close()
    kept = (folder / "state" / "samovar" / "chat_history.jsonl").read_text().splitlines()
    assert [json.loads(line) for line in kept][:2] == ["Hello there", "/fork side"]


@pytest.mark.slow
def test_ctrl_c_stops_the_answer_and_the_conversation_goes_on(folder: Path, tiny_model: Path) -> None:
    at = Terminal(
        folder, "--model", str(tiny_model), "--max-tokens", "100000", "--context", "4096", "--no-history"
    )
    try:
        at.until(is_prompt)
        at.type("Hello\r")
        at.until(lambda text: "loading" in text and len(text.partition("loading")[2]) > 60)
        os.kill(at.process.pid, signal.SIGINT)
        at.until(lambda text: "Stopped." in text and is_prompt(text.partition("Stopped.")[2]))
        at.type("/tokens\r")
        at.until(lambda text: "in all: 0 evaluated" in text)
        at.type("/quit\r")
        assert at.end() == 0
    finally:
        at.close()
    assert not (folder / "state").exists()


@pytest.mark.slow
def test_a_terminal_that_can_do_nothing_is_enough(folder: Path, tiny_model: Path) -> None:
    at = Terminal(folder, "--model", str(tiny_model), "--max-tokens", "4", term="dumb")
    try:
        at.until(lambda text: "> " in text)
        at.type("Hello\n")
        at.until(lambda text: "loading" in text and "> " in text.partition("loading")[2])
        at.type("\x04")
        assert at.end() == 0 and "\x1b" not in at.shown
    finally:
        at.close()
