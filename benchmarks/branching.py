"""Variants of one step of a run that is kept: `samovar branch` for each, beside whole runs.

Above: `python -m benchmarks.branching`. Below: the command line, as a person uses it, each time in a new
process with the same snapshots on disk. Twelve prompts in a row, each of which reads the answer before it;
the ninth is another one in each variant. A variant can cost no less than the tokens that nothing before it
began with: its tails. It costs more by what only one earlier prompt began with, which is not on disk, since
what was asked for once is not likely to come again; and in each prompt by what is less than a block of the
sightings, and less than a copy is worth.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from benchmarks.results import Finding, save
from benchmarks.rounds import default_model
from benchmarks.work import SYSTEM, TOPICS, Direct, question
from samovar.engines.llama.prefixes.disk_index import WORTH_KEEPING_TOKENS
from samovar.engines.llama.prefixes.sightings import BLOCK_TOKENS
from samovar.generation import Message
from samovar.journal.sqlite import SqliteJournal

STEPS, CHANGED = len(TOPICS), 9
"""Prompts of a whole run, and which of them is another one in each variant, from 1."""
MAX_TOKENS = 128
LOST_TOKENS = BLOCK_TOKENS - 1 + WORTH_KEEPING_TOKENS - 1
"""Of the beginning of a prompt that others have as well, what may have to be evaluated again."""
AIM = 1.15
"""What a variant may take for each step that is done again, against a step of a whole run."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """What the variants took, in all."""

    variants: int
    branches_s: float
    whole_s: float
    evaluated: int
    tails: int
    """The tokens of prompts that no earlier one begins with."""
    kept_tails: int
    """Those that at most one earlier one begins with: of the others copies are on disk."""
    prompts: int

    @property
    def ratio(self) -> float:
        """Time of the branches for each step, against that of whole runs."""
        again = (STEPS - CHANGED + 1) / STEPS
        return self.branches_s / (self.whole_s * again)

    def findings(self) -> list[Finding]:
        """For the page of goals."""
        return [
            Finding(
                what=f"{self.variants} variants of step {CHANGED} of {STEPS}, each in a new process: tokens",
                measured=f"{self.evaluated} evaluated, {self.tails} that nothing before began with, "
                f"{self.kept_tails} that one prompt before began with at most, in {self.prompts} prompts",
                goal=f"no more than the last, but for {LOST_TOKENS} in each prompt: beginnings are "
                f"remembered in blocks of {BLOCK_TOKENS} tokens, and kept from {WORTH_KEEPING_TOKENS} on",
                is_met=self.evaluated <= self.kept_tails + LOST_TOKENS * self.prompts,
                count=self.variants,
            ),
            Finding(
                what="the same: time for each step that is done again, against whole runs",
                measured=f"{self.ratio:.2f} ({self.branches_s:.1f} s against {self.whole_s:.1f} s for all)",
                goal=f"at most {AIM}",
                is_met=self.ratio <= AIM,
                count=self.variants,
            ),
        ]


def variant(number: int) -> str:
    """The text of the ninth prompt."""
    return (
        f"Variant {number}. Somebody said: {{{{ answer_{CHANGED - 1} }}}}\n"
        f"In one sentence, what is missing about {TOPICS[CHANGED - 1]}? Reason number {number}."
    )


def write_workflow(folder: Path) -> Path:
    """Twelve prompts in a row; the text of the ninth is a file."""
    names = [f"S{number}" for number in range(1, STEPS + 1)]
    arrows = "\n".join(
        f"    {one} --> {other}" for one, other in zip(["[*]", *names], [*names, "[*]"], strict=True)
    )
    using = f"using max_tokens={MAX_TOKENS}"
    lines = []
    for number, topic in enumerate(TOPICS, 1):
        before = "" if number == 1 else f"Somebody said: ${{answer_{number - 1}}} "
        asked = f'Prompt "{before}{question(topic)}"'
        if number == CHANGED:
            asked = 'Execute prompt "ninth"'
        lines.append(f'- S{number}: {asked} result="answer_{number}" {using}')
    (folder / "prompts").mkdir()
    (folder / "prompts" / "ninth.md").write_text(variant(0), encoding="utf-8")
    path = folder / "chain.md"
    path.write_text(
        f'---\ntitle: Chain\nsystem: "{SYSTEM}"\n---\n\n```mermaid\nstateDiagram-v2\n{arrows}\n```\n\n'
        "## Actions\n\n" + "\n".join(lines) + "\n",
        encoding="utf-8",
    )
    return path


def samovar(folder: Path, cache: Path, *arguments: str) -> tuple[dict[str, Any], float]:
    """The report of a command in a process of its own, and the seconds of that process."""
    environment = {**os.environ, "SAMOVAR_CACHE_FOLDER": str(cache), "XDG_CACHE_HOME": str(cache)}
    command = [sys.executable, "-m", "samovar", *arguments, "--json", "--journal", str(folder / "j.db")]
    began = time.perf_counter()
    done = subprocess.run(command, env=environment, cwd=folder, capture_output=True, text=True)
    took_s = time.perf_counter() - began
    if done.returncode:
        raise RuntimeError(f"samovar {arguments[0]} failed: {done.stderr.strip()[-800:]}")
    report: dict[str, Any] = json.loads(done.stdout)
    return report, took_s


def asked_in(journal: Path, run: str) -> list[tuple[Message, ...]]:
    """What the model was asked in a run, and not in the one that it took the rest from."""
    visits = [one.outcome for one in SqliteJournal(journal).visits(run)]
    return [
        exchange.messages
        for outcome in visits
        if outcome is not None and outcome.origin is None
        for exchange in outcome.exchanges
    ]


def tails(before: Iterable[Sequence[int]], prompts: Iterable[Sequence[int]], *, askers: int = 1) -> int:
    """The tokens of prompts that fewer earlier ones than `askers` begin with.

    `before`: those that were asked for twice, and do not count themselves.
    """
    tree: dict[int, list[Any]] = {}
    """By token, how often it was asked for there, and what came behind it."""
    new = 0
    for is_counted, tokens in [*((False, one) for one in before), *((True, one) for one in prompts)]:
        node = tree
        for place, token in enumerate(tokens):
            step = node.setdefault(token, [0, {}])
            # The last token of a prompt is always evaluated: the answer begins with what follows it.
            if step[0] < askers or place == len(tokens) - 1:
                new += is_counted
            step[0] += 1 if is_counted else 2
            node = step[1]
    return new


def measure(variants: int) -> Measured:
    """Runs it all, the branches and the whole runs in turn."""
    model = ("--model", str(default_model()))
    branches_s = whole_s = 0.0
    evaluated = 0
    with tempfile.TemporaryDirectory() as named:
        folder, cache = Path(named), Path(named) / "cache"
        workflow = write_workflow(folder)
        # Twice: what prompts share is on disk after the first run, and all of them after the second.
        for _ in range(2):
            first, _ = samovar(folder, cache, "run", str(workflow), *model)
        runs = []
        for number in range(1, variants + 1):
            (folder / f"variant-{number}.md").write_text(variant(number), encoding="utf-8")
            prompt = f"ninth=variant-{number}.md"
            report, took_s = samovar(
                folder, cache, "branch", first["run"], "--from", f"S{CHANGED}", "--prompt", prompt
            )
            branches_s += took_s
            evaluated += int(report["tokens"]["evaluated"])
            runs.append(report["run"])
            (folder / "prompts" / "ninth.md").write_text(variant(number), encoding="utf-8")
            _, took_s = samovar(folder, cache, "run", str(workflow), *model)
            whole_s += took_s
        direct = Direct(default_model())
        texts = {run: asked_in(folder / "j.db", run) for run in [first["run"], *runs]}
        tokens = {run: [direct.template.tokens(list(one)) for one in asked] for run, asked in texts.items()}
        prompts = [one for run in runs for one in tokens[run]]
        least, kept = (tails(tokens[first["run"]], prompts, askers=askers) for askers in (1, 2))
    return Measured(
        variants=variants,
        branches_s=branches_s,
        whole_s=whole_s,
        evaluated=evaluated,
        tails=least,
        kept_tails=kept,
        prompts=len(prompts),
    )


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--variants", type=int, default=20)
    parser.add_argument("--out", type=Path, metavar="FOLDER", help="write branching.json there")
    arguments = parser.parse_args()
    findings = measure(arguments.variants).findings()
    for one in findings:
        print(f"{'met    ' if one.is_met else 'not met'}  {one.what}: {one.measured} (goal: {one.goal})")
    if arguments.out is not None:
        save(arguments.out, "branching", {"findings": [asdict(one) for one in findings]})
    sys.exit(not all(one.is_met for one in findings))


if __name__ == "__main__":
    main()
