"""Tables of programs: shells, interpreters, programs that start others, and which words are code.

Above: `programs.py`, `shell_builtins.py` and others, which judge words by these tables. Below: nothing.
A program that is in none of them is taken for one that reads no code.
"""

from __future__ import annotations

import re


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


_SHELL = re.compile(
    r"(?:r?(?:ba|z|k)?sh|dash|ash|[mlo]ksh|pdksh|yash|posh|fish|t?csh|elvish|nu|xonsh|pwsh|powershell|hush|"
    r"osh|ysh|ion|rc|es|scsh|su|runuser|script|flock|sg|busybox|toybox)(?:-?\d[\w.+-]*|[-.]static)?(?:\.exe)?\Z"
)
LAUNCHERS = _words("su runuser script flock sg busybox toybox")
"""Those that are not shells themselves, but start one."""
SENDERS = _words("ssh rsh slogin mosh watch parallel at batch tmux screen byobu")
"""Give words of theirs to a shell."""
QUEUES = _words("at batch parallel")
"""Read what they start from their input."""
READERS = _words("eval source .")
"""Read as shells do, and are part of one."""
INTERPRETER = re.compile(
    r"(?:i?python|pypy|j?ruby|irb|perl|node|nodejs|deno|bun|tsx|ts-node|qjs|php|lua|luajit|expect|tclsh|wish|"
    r"guile|racket|Rscript|R|julia|ghci|runghc|groovy|scala|jshell|erl|elixir|iex|ocaml|sbcl|clisp|emacs|"
    r"octave|osascript|gdb|lldb)[\d.-]*\Z"
)
CODE_OPTION = re.compile(r"(?:-[A-Za-z]*[ceErp]|-eval|-ex|--eval|--print|--command|--run|eval)(?:=|\Z)")
CODE_ATTACHED = re.compile(r"-[A-Za-z]*[ceErpmMdIBR]|--(?:eval|print|command|run|require|import)=")
COMMANDED = _words("ed red ex vi vim m4 gnuplot dc bc sqlite3 psql mysql mariadb ftp sftp crontab")
"""Read commands from their input, of which some start programs."""
SHOW_ENVIRONMENT = _words("env printenv")
OPTION_WITH_VALUE = re.compile(r"(?:-[WXQIrmo]|--require|--import|-[A-Za-z]*[oO]|--rcfile|--init-file)\Z")
COMMAND_OPTION = re.compile(r"[-+][A-Za-z]*c[A-Za-z]*\Z|--(?:session-)?command\Z")
COMMAND_ATTACHED = re.compile(r"-[A-Za-z]*c|--(?:session-)?command=")
PROGRAM_TEXT = re.compile(r"(?:[gmn]?awk|sed|jq|yq|psql|sqlite3|mysql|mariadb|bc|dc)\Z")
"""Take a small program as an argument, which only they can read."""
WRAPPERS = {
    "env": "uC", "exec": "a", "command": "", "builtin": "", "nohup": "", "sudo": "ugpCThrRDU", "doas": "uC",
    "time": "fo", "timeout": "sk", "nice": "n", "ionice": "cnp", "setsid": "", "stdbuf": "ioe", "chroot": "",
    "xargs": "IdEnLPsa", "chrt": "", "taskset": "", "busybox": "", "toybox": "",
}  # fmt: skip
"""Stand before the command that they start; with the letters of their options that take a value."""
OPERANDS = {"timeout": 1, "chroot": 1, "taskset": 1, "chrt": 1}
"""How many words of their own these have before it."""
FILTERS = _words(
    "grep egrep fgrep rg tr cut sort uniq head tail wc cat tac tee rev fold fmt nl paste join comm diff "
    "cmp column base64 md5sum sha1sum sha256sum sha512sum echo printf test [ true false read"
)
"""Do not start what they are given, and read no code."""
ENDS_OPTIONS = _words(
    "rm cp mv ln ls cat tac touch mkdir rmdir chmod chown chgrp grep egrep fgrep rg head tail sort uniq "
    "wc cut diff cmp comm join paste nl od fold tee stat file du df tar gzip gunzip zcat bzip2 xz zip "
    "unzip basename dirname realpath readlink md5sum sha1sum sha256sum sha512sum split install curl wget "
    "rsync scp less mktemp pandoc patch"
)
"""Take what follows `--` for no option."""
ASSIGNMENT = re.compile(r"[A-Za-z_]\w*(?:\[[^\]]*\])?\+?=")
CODE_VARIABLES = re.compile(
    r"(?:PS[0-4]|PROMPT_COMMAND|ENV|BASH_ENV|BASH_FUNC_.*|BASH_ALIASES|BASH_CMDS|S?RANDOM|SECONDS|LINENO|HISTCMD|"
    r"OPTIND|BASHPID|EPOCHSECONDS|SHELLOPTS|BASHOPTS|LD_PRELOAD|LD_AUDIT|PERL5OPT|PERL5DB|RUBYOPT|NODE_OPTIONS|"
    r"GIT_SSH_COMMAND)\Z"
)
"""Shells read these as code, or as arithmetic; or common programs do."""
TOKENS = re.compile(r"[\s;|&()'\"`]+")


def is_shell(name: str) -> bool:
    """Whether the program of this name takes the text of a command after `-c`."""
    return bool(_SHELL.match(name))


def reads_as_code(name: str) -> bool:
    """Whether what a variable of this name holds is read as code."""
    return bool(CODE_VARIABLES.match(name))
