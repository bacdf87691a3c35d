"""Chooses the number of decoding threads: all cores while they are free, fewer beside busy processes.

Above: `arena.py`, which reports each step's time and sets the choice. Below: `cores.py`. At each of the
hundreds of barriers of a step the threads wait for the last one; beside a busy process that is one which
does not even run, and fewer threads are faster. Whether they are is tried, never assumed: a trial is a few
steps, stopped as soon as it cannot win. Alone, nothing is tried.
"""

from __future__ import annotations

import resource
from collections.abc import Callable

from samovar.engines.llama.cores import engine_cores
from samovar.models.tuning import Tuning

WINDOW_STEPS = 8
"""This many steps with the same number of sequences are compared with this many others."""
SWITCHES_PER_STEP = 0.75
"""Involuntary context switches from which on the machine counts as busy; alone there are 0.2."""
GAIN = 0.95
"""A trial wins with this share of the time."""
MAX_PATIENCE = 32
"""Windows between two trials that were in vain, at most; it doubles from 1."""


def involuntary_switches() -> int:
    """Involuntary switches of all threads of this process, since it began."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_nivcsw


def chosen_threads(fixed: int | None, tuning: Tuning) -> ThreadChoice:
    """`fixed`: what a person has set. Otherwise as `tuning` says, or one per physical core."""
    if fixed is not None:
        return ThreadChoice(fixed, is_fixed=True, reason="as set")
    cores = engine_cores()
    return ThreadChoice(
        min(cores, tuning.threads or cores),
        evaluating=min(cores, tuning.evaluating_threads or cores),
        reason="one per core" if tuning.threads is None else tuning.source,
    )


class ThreadChoice:
    """The number of threads for steps that only decode. Mutable: the choice, and what was measured for it."""

    def __init__(
        self,
        most: int,
        *,
        evaluating: int | None = None,
        is_fixed: bool = False,
        reason: str = "one per core",
        switches: Callable[[], int] = involuntary_switches,
    ) -> None:
        """`most`: for decoding, at most; with `is_fixed` always. `evaluating`: for prompts; None: as many.
        `reason`: why this many."""
        self.threads = self.most = most
        self.evaluating = evaluating or most
        self.reason = reason
        self._is_fixed = is_fixed or most == 1
        self._switches = switches
        self._sequences = 0
        self._window: list[float] = []
        self._switches_before = switches()
        self._settled: tuple[int, float] | None = None  # during a trial: the threads and mean time before it
        self._patience = self._calm_windows = 1
        self._divisor = 2
        self._went_down = False

    @property
    def settled(self) -> int:
        """The choice, to which `reason` belongs, also while another one is tried."""
        return self.threads if self._settled is None else self._settled[0]

    def of_step(self, evaluates: bool, *, is_exact: bool) -> int:
        """For a step. `evaluates`: it evaluates prompts. `is_exact`: it decodes what must come out the same
        each time, and so always has the same number: behind 512 cells, attention adds up in as many parts as
        there are threads."""
        if evaluates:
            return self.evaluating
        return self.most if is_exact else self.threads

    def stepped(self, elapsed_s: float, sequences: int) -> None:
        """A step that decoded one token for each of `sequences` took this long."""
        if self._is_fixed:
            return
        if sequences != self._sequences:
            self._forget(sequences)
            return
        self._window.append(elapsed_s)
        if self._settled is not None:
            self._judge(*self._settled)
        elif len(self._window) == WINDOW_STEPS:
            self._look()

    def _forget(self, sequences: int) -> None:
        """The next steps cannot be compared with the last."""
        if self._settled is not None:
            self.threads, _ = self._settled
        self._settled, self._sequences = None, sequences
        self._start_window()

    def _start_window(self) -> None:
        self._window.clear()
        self._switches_before = self._switches()

    def _look(self) -> None:
        """A window is full: is it time for a trial?"""
        mean_s = sum(self._window) / WINDOW_STEPS
        is_busy = self._switches() - self._switches_before >= SWITCHES_PER_STEP * WINDOW_STEPS
        self._calm_windows += 1
        tried = None
        if self._calm_windows > self._patience:
            goes_down = is_busy and self.threads > 1 and (self.threads == self.most or not self._went_down)
            self._went_down = goes_down
            if goes_down:
                # A core that is not free costs the same with one thread too many as with several.
                tried = max(1, self.threads // self._divisor)
                self._divisor = 2 if tried == 1 else self._divisor * 2
            elif self.threads < self.most:
                tried = min(self.most, self.threads + max(1, self.threads // 4))
        if tried is not None:
            self._settled = (self.threads, mean_s)
            self.threads = tried
            self._calm_windows = 0
        self._start_window()

    def _judge(self, before: int, before_s: float) -> None:
        """A trial continues, wins, or is given up."""
        total_s = sum(self._window)
        if total_s > GAIN * before_s * WINDOW_STEPS:
            self.threads, self._settled = before, None
            self._patience = min(MAX_PATIENCE, self._patience * 2)
            self._start_window()
        elif len(self._window) == WINDOW_STEPS:
            mean_s = total_s / WINDOW_STEPS
            self.reason = (
                f"a step takes {mean_s * 1000:.1f} ms; with {before} it took {before_s * 1000:.1f} ms"
                + (", beside other busy processes" if self.threads < before else "")
            )
            self._settled = None
            self._patience, self._divisor = 1, 2
            self._start_window()
