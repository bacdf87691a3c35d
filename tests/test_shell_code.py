"""A value in a shell command is never code: what could read it as code is refused; reading stays linear."""

from __future__ import annotations

import itertools
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import FrameType

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from samovar.actions import parse_action
from samovar.actions.quoting import VARIABLE, BesidesText, Quoted, quote
from samovar.actions.shell_text import UnquotableError
from samovar.errors import FaultsError, Place
from samovar.language.pieces import Held, Piece
from tests.long_commands import LONG

HERE = Place(path=None, line=1, column=1)
PAGE = (Path(__file__).parent.parent / "docs" / "language.md").read_text(encoding="utf-8")
SHELLS = ["dash", "bash"] if shutil.which("dash") and shutil.which("bash") else ["sh"]

# A command X within others; each @ is a value.
AROUND = (
    "X", "X @", "X | cat", "echo @ | X", "echo @ | (X)", "echo @ | { X; }", "echo @ | { cat; X; }",
    "echo @ | if true; then X; fi", "echo @ | while true; do X; break; done", "n=@; X", "n=@ && m=$n; X",
    "for n in @; do X; done", "for n in @\ndo X\ndone", "read -r n <<< @; X",
    "echo @ | while read -r n; do X; done", "while read -r n; do X; done < <(echo @)",
    "while read -r n; do X; done <<< @", "{ X; } <<< @", "(X) < <(echo @)", "X <<< @", "X < <(echo @)",
    "X <(echo @)", "echo @ > >(X)", "echo @ | tee >(X)", "set -- @; X", "f() { X; }; f @",
    "function f { X; }; echo @ | f", "n=$(echo @); X", "export n=@; X", "printf -v n %s @; X",
    "case @ in *) X;; esac", "case a in (a) echo @;; esac | X", "case a in if) echo @;; esac | X",
    "echo \"$(X)\" @", "if X; then echo @; fi", "exec < <(echo @); X", "exec <<< @; X", "n=(@); X",
    'echo "${n:=@}"; X', "while :; do X; test $z && break; z=1; n=$m; m=@; done", "echo @ |& X", "env X",
    "echo @ |\nX", "echo @ |&\n# c\n\nX", "2>f X", "FOO=1 2>f X", "{fd}<f X", "set -k; X BASH_ENV=@",
    "declare -i n; read n <<< @; X", "declare -i n; for n in @; do X; done",
    "m=@; declare -i n; : ${n:=$m}; X",
    "read PS4 <<< @; set -x; X", "alias foo=X\nfoo @", "n=@; trap 'X' EXIT", "echo @; X",
    "find . -maxdepth 0 -exec X \\;",
    "echo @ | xargs env X", "hash -p @ foo; X", "BASH_ALIASES[foo]=eval; X",
    "declare -n r=n; read r <<< @; X",
    "command X", "timeout -s KILL 5 X", "nohup X", "env -i PATH=/usr/bin:/bin X", "echo @ | xargs X",
    "echo @ | xargs -I{} X", "echo @ | X &", "n=@; cat <<E | X\n$n\nE", "n=@; X <<E\n$n\nE",
)  # fmt: skip
INNER = (
    "sh", "bash", "sh -s hello", "sh -o errexit", "bash -o pipefail", "sh /dev/stdin", "sh -c '{}'",
    "sh -c @",
    "sh @ @", "sh -c : @", "sh -c 'echo \"$1\"' sh @", 'bash -c "$n"', "sh $n", 'eval "$n"', "eval $n", "$n",
    '"$n" @', "@ @", "@", "echo @", "echo $((n+1))", 'echo "$(( $n ))"', "((n++))", 'let "n=n+1"',
    "declare -i k=$n", "declare -i k; k=$n", "typeset -i n=@", "declare -n k=$n; echo $k", "[[ n -eq 1 ]]",
    "[[ 1 -eq 1 && n -eq 2 ]]", "[[ -n @ ]]", "[[ -v $n ]]", 'test -v "$n"', "test @ = 1", "echo ${!n}",
    'echo "${n@P}"', "echo ${HOME:n:1}", "echo ${a[n]}", "a[n]=1", "a[$n]=1", "a=([n]=1)", "a=(@ @)",
    "RANDOM=$n", "PS4=$n; set -x; :", ". /dev/stdin", "cat", "cat | sh", 'eval "$(cat)"', "eval `cat`",
    "$(cat)", 'read -r k; eval "$k"', "read -r k && echo $((k))", "mapfile k; echo $((k))", 'eval "$1"',
    "echo $(( $1 ))", '"$@"', "eval `echo $n`", "eval \"${q:-$n}\"", 'k=$n; eval "$k"', "echo a >&$n",
    "echo a > @", "exec {a[n]}>f", "export k=@", "env @ true", "env @ sh", "env -S @", "env X=@ true",
    "BASH_ENV=@ bash -c :", "python3 -c @", "python3", "python3 @ @", "perl @", "s\\h", "$SHELL", "( sh )",
    "((sh))", "{ cat; sh; }", '"}"; sh', "fi; sh", "true && sh", "X=1 sh", "> f sh", "time sh", "exec sh",
    'command eval "$n"', "find . -maxdepth 0 -exec sh -c @ \\;", "sh -c 'cat'", "bash --rcfile x -c @",
    "sh -c $none @", "$none eval @", "for k do eval \"$k\"; done", 'getopts a: k; eval "$OPTARG"', "tee f",
    "{eval,@}", "{sh,-c} @", "${e:-eval} @", "$(echo eval) @", "/bin/s? -c @", "nice @ a", "env", "set",
    "foo @",
    "export | sh", "declare -p n | sh", "env | sh", 'eval "$(env)"', "eval 'echo $((n))'", "echo ${!m@P}",
    "echo ${1@P}", "printf -v@ x", "printf -v n$i %s @", "export \"n$i=@\"", "declare $o n=@", "[ $v @ ]",
    "test @ @", "wait -n -p @", "for RANDOM in @; do :; done", "rbash -c @", "make -f -", "source ./f @",
    'eval "$\\\nn"', "env BASH_ENV=@ bash ./s.sh", 'env "BASH_FUNC_ls%%=@" ls', "m=n; echo $((m))",
    "grep -- @ f", "wc -l", "sort -u", "sed -- s/a/b/ @", "printf '%s' @", "cat -- @ > f", 'test "$n" -eq 1',
)  # fmt: skip
TOUCH = "touch canary"
VALUES = (
    TOUCH, f"a[$({TOUCH})]", f"$({TOUCH})", f"`{TOUCH}`", f"x;\n{TOUCH}\n", f"'; {TOUCH}; '", "-c", "eval",
    f"-c{TOUCH}", f"--command={TOUCH}", "-esystem('touch canary')", f"-cimport os;os.system('{TOUCH}')",
    f"import os;os.system('{TOUCH}')", f'-Ssh -c "{TOUCH}"', "/dev/stdin",
)  # fmt: skip
SETS = [*((value,) for value in VALUES), ("-c", TOUCH), ("eval", TOUCH), ("sh", "-c", TOUCH)]


def pieces(command: str, mark: str = "@") -> list[Piece]:
    """The pieces of a command with a value in the place of each mark."""
    first, *rest = re.split(f"(?<!\\$){mark}", command)
    found: list[Piece] = [first]
    for part in rest:
        found += [Held(value=""), part]
    return found


def quoted(command: str, *, is_bash: bool = False) -> Quoted:
    return quote(pieces(command), BesidesText(is_bash=is_bash))


AROUNDS = st.sampled_from(AROUND)
COMMANDS = st.tuples(AROUNDS, AROUNDS, st.sampled_from(INNER), st.booleans(), st.booleans())
"""Two that stand around a third, whether both do, and whether only bash runs it."""


@pytest.mark.slow
@settings(max_examples=150)
@given(COMMANDS)
@example(("X", "X", "echo a >& @", False, False))
def test_no_value_is_code_in_any_command_that_is_accepted(
    tmp_path_factory: pytest.TempPathFactory, parts: tuple[str, str, str, bool, bool]
) -> None:
    """A command that is a value's text is never run, by dash nor by bash: no file appears."""
    outer, around, inner, is_nested, is_bash = parts
    command = around.replace("X", inner, 1)
    command = outer.replace("X", command, 1) if is_nested else command
    try:
        ready = quoted(command, is_bash=is_bash)
    except UnquotableError:
        return
    folder = tmp_path_factory.mktemp("canary")
    for by, values in itertools.product(SHELLS[is_bash:], SETS):
        given_values = itertools.cycle(values)
        environment = {VARIABLE.format(n): next(given_values) for n in range(len(ready.held))}
        try:
            subprocess.run(
                [by, "-c", ready.command],
                env={**os.environ, **environment},
                stdin=subprocess.DEVNULL,
                capture_output=True,
                cwd=folder,
                timeout=5,
                check=False,
            )
        except subprocess.TimeoutExpired:
            continue
        assert not (folder / "canary").exists(), (by, command, values)


def refused_on_the_page() -> list[tuple[str, str]]:
    table = re.search(r"^\| refused in `Shell` \| why \|\n\|[-|]+\|\n((?:\|.*\n)+)", PAGE, re.M)
    assert table is not None
    rows = [re.split(r"(?<!\\)\|", line)[1:-1] for line in table[1].splitlines()]
    spans = [(re.findall(r"`` (.*?) ``|`([^`]*)`", row[0]), row[1].strip()) for row in rows]
    return [((a or b).replace("\\|", "|"), why) for found, why in spans for a, b in found]


@pytest.mark.parametrize(("command", "why"), refused_on_the_page())
def test_what_the_page_says_is_refused_is_a_fault_of_its_file(command: str, why: str) -> None:
    text = '"' + command.replace('"', '\\"') + '"'
    with pytest.raises(FaultsError) as caught:
        parse_action(f"Shell {text}", HERE)
    assert [fault.code for fault in caught.value.faults] == ["shell-value"]


@pytest.mark.parametrize(
    "command",
    [
        "echo @ | sh -s hello", "echo @ | sh -o errexit", "echo @ | bash -o pipefail",
        "echo @ | sh /dev/stdin",
        "echo @ | (sh)", "echo @ | if true; then sh; fi", "echo @ | xargs -I{} sh -c '{}'", "bash <<< @",
        "bash < <(echo @)", "declare -i n=@", "typeset -i n=@", "n=@; echo $((n+1))", "runuser -c @",
        "tmux new -d @", "sudo -u bob sh -c @", "echo @ | sudo -u bob sh", "echo @ | env -i sh",
        "echo @ | timeout -s KILL 5 sh", "echo @ |& sh", "echo @ | sh -c 'cat'", "echo a >& @", "sh @ @",
        "echo @; $_", 'cd @; eval "$PWD"', '[[ @ =~ . ]]; eval "${BASH_REMATCH[0]}"',
        "n=@; m=$n; eval \"$m\"", "n=@; $n", "@ @", "env @ sh", "perl -e @", "echo @ | python3 -",
    ],
)  # fmt: skip
def test_what_another_interpreter_could_read_is_refused(command: str) -> None:
    with pytest.raises(UnquotableError):
        quoted(command)


@pytest.mark.parametrize(
    "command",
    [
        "n=@; echo \"$n\"", "n=@; test \"$n\" -eq 1", "printf %s @ | tr a b | sed 's/a/b/'",
        "git diff @ | head -n 3",
        "cat < @", "for f in @; do wc -l -- \"$f\"; done",
        "echo @ | while read -r f; do wc -l -- \"$f\"; done",
        "n=3; echo $((n + 1)) @", "if grep -q -- @ f; then echo yes; else echo no; fi", "sh build.sh @",
        "cd -- @ && find . -maxdepth 1 -type f | sort | while read -r f; do cat < \"$f\"; done | head -c 90",
        "timeout 5 grep -- @ f", "echo @ > f; bash build.sh", "echo @ | grep sh", "[[ -n @ && -f @ ]]",
        "{ echo @; sh build.sh; }", "X=@ make", "./bin/@", "tar czf a.tgz -- @", "echo @ >> f 2>&1",
        "python3 script.py -c @", "docker run --rm image cat @", "echo @ | python3 script.py",
    ],
)  # fmt: skip
def test_ordinary_commands_are_accepted(command: str) -> None:
    assert quoted(command, is_bash=True).command


def test_what_is_read_or_set_beside_the_text_counts_too() -> None:
    assert quote(["cat > f; wc -l"], BesidesText(has_input=True)).command
    for command in ("sh", "cat | sh", "read -r n; echo $((n))", 'eval "$(cat)"'):
        with pytest.raises(UnquotableError):
            quote([command], BesidesText(has_input=True))
    assert quote(['echo "$K"'], BesidesText(variables=("K",))).command
    for command in ("echo $((K))", 'eval "$K"', "$K"):
        with pytest.raises(UnquotableError):
            quote([command], BesidesText(variables=("K",)))
    with pytest.raises(UnquotableError, match="BASH_ENV"):
        quote(["bash build.sh"], BesidesText(variables=("BASH_ENV",)))


@pytest.mark.parametrize(
    ("command", "advice"),
    [
        ("git show ${x}", "--end-of-options"), ("git show --end-of-options ${x}", ""),
        ("git log -- ${x}", ""),
        ("find ${x}", "./"), ("find . -name ${x}", ""), ("find ./${x}", ""), ("grep ${x} f", "put --"),
        ("grep -e ${x} f", ""), ("rm ${x}", "put --"), ("rm -- ${x}", ""), ("sudo -u bob rm ${x}", "put --"),
        ("sh build.sh ${x}", ""), ("docker run ${x}", ""), ("make ${x}", ""), ("echo ${x}", ""),
        ("sed s/a/${x}/ f", "program"), ("awk ${x} f", "program"),
        ("awk -v n=${x} '{print n}' f", ""), ("sed -n 1p ${x}", ""), ("timeout 5 rm ${x}", "put --"),
        ("cat < ${x}", ""),
    ],
)  # fmt: skip
def test_the_advice_about_options_is_right_for_the_command_or_there_is_none(
    command: str, advice: str
) -> None:
    messages = [message for _, message in quote(pieces(command, r"\${x}")).warnings]
    assert len(messages) == bool(advice)
    assert all(advice in message for message in messages)


def calls(work: Callable[[], object]) -> int:
    """How many functions are called by it, those written in C too: what it does, counted instead of timed."""
    count = 0

    def see(frame: FrameType, event: str, argument: object) -> None:
        nonlocal count
        count += event in ("call", "c_call")

    sys.setprofile(see)
    try:
        work()
    finally:
        sys.setprofile(None)
    return count


@pytest.mark.parametrize("name", list(LONG))
def test_reading_a_command_grows_with_its_length(name: str) -> None:
    def count(n: int) -> int:
        found = pieces(LONG[name](n))
        return calls(lambda: quote(found))

    assert count(800) <= 2.3 * count(400)


@pytest.mark.slow
def test_a_long_command_is_read_at_once() -> None:
    """What is not counted, within one call of a pattern or in copying, stays small too."""
    for text in LONG.values():
        command = next(found for n in itertools.count(1000, 1000) if len(found := text(n)) > 32_000)
        assert len(quote(pieces(command)).held) == command.count("@")


@pytest.mark.parametrize(
    "command",
    [
        "echo @ |\nsh", "echo @ |&\n# c\n\nsh", "2>f eval @", "FOO=1 2>f eval @", "{fd}<f eval @",
        "cat <<E 2>f; 3<&0 eval @\nE\n", "e=eval; $e @", "$(echo eval) @", "${e:-eval} @", "/bin/s? -c @",
        "{eval,@}", "{sh,-c} @", "find . -exec env BASH_ENV=@ bash ./s.sh \\;",
        'env "BASH_FUNC_ls%%=@" ./s.sh',
        "set -k; ./s.sh BASH_ENV=@", "nice @ a", "find . -exec @ \\;", "echo @ | xargs env",
        "echo @ | xargs nice", "echo @ | xargs -I{} env {}", "echo @ | xargs find . -maxdepth 0",
        "declare -i n; read n <<< @", "declare -i n; for n in @; do :; done",
        "declare -i n; printf -v n %s @",
        "declare -i a; mapfile a <<< @", "m=@; declare -i n; : ${n:=$m}", "declare -n r=n; read r <<< @",
        "read PS4 <<< @; set -x; :", "for RANDOM in @; do :; done", "read n$i <<< @", 'export "n$i=@"',
        "printf -v n$i %s @", "declare $o n=@", "export $e=@", "m=n; n=@; echo ${!m@P}",
        "n=@; m=n; echo $((m))",
        ". @", "source ./f @", "alias foo=eval\nfoo @", "BASH_ALIASES[foo]=eval; foo @", "BASH_CMDS[foo]=@",
        "hash -p @ foo", 'n=@; eval "$\\\nn"', "nm=@; eval $n\\\nm", "printf $o @ x", "printf -v@ x",
        "[ $v @ ]", "test @ @", "wait -n -p @", 'echo @; eval "$(env)"', "echo @; env | sh", "n=@; set | sh",
        "n=@; declare -p n | sh", "n=@; trap 'eval \"$n\"' EXIT", "n=@; eval 'echo $((n))'", "rbash -c @",
        "bash-5.2 -c @", "nodejs -e @", "deno eval @", "perl -M@ a", "expect -c @", "echo @ | tclsh",
        "echo @ | make -f -", "set -- @; echo ${1@P}",
    ],
)  # fmt: skip
def test_what_a_command_makes_code_by_its_form_is_refused(command: str) -> None:
    with pytest.raises(UnquotableError):
        quoted(command, is_bash=True)


@pytest.mark.parametrize(
    "command",
    [
        "echo @ |\n  sort |\n# c\nhead -n 1\nsh build.sh", "cat -- @ 2>/dev/null", "2>f grep -- @ f",
        "echo @ \\\n  b", "echo @ |\\\n  sort", "echo @ | xargs -I{} find . -name {}", "cp *.txt @",
        "set -e; ls -- @",
        "env FOO=@ make", "timeout 5 env FOO=@ make", "find . -name @ -exec cat {} \\;", '"$HOME/bin/tool" @',
        "env; echo @", "trap 'rm -f f' EXIT; echo @", "[ \"$a\" = @ ]", "make ENV=@",
        "declare -i n=1; echo @",
    ],
)  # fmt: skip
def test_the_same_forms_are_accepted_where_no_value_becomes_code(command: str) -> None:
    assert quoted(command, is_bash=True).command
