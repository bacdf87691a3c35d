"""How many threads decode, on a machine that is only a table of times."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from samovar.engines.llama.threads import MAX_PATIENCE, WINDOW_STEPS, ThreadChoice


class Machine:
    """`times`: seconds of a step by threads; `switches`: involuntary ones per step."""

    def __init__(self, most: int, times: Mapping[int, float], switches: float = 0.0) -> None:
        self.times, self.switches = times, switches
        self.counted = 0.0
        self.choice = ThreadChoice(most, switches=lambda: int(self.counted))
        self.chosen: list[int] = []

    def run(self, steps: int, sequences: int = 1) -> float:
        """The mean time of a step."""
        total = 0.0
        for _ in range(steps):
            threads = self.choice.threads
            self.chosen.append(threads)
            self.counted += self.switches
            total += self.times[threads]
            self.choice.stepped(self.times[threads], sequences)
        return total / steps


ALONE = {2: 0.005, 1: 0.008}
BESIDE_ONE = {2: 0.031, 1: 0.009}


def test_alone_nothing_is_tried() -> None:
    machine = Machine(2, ALONE, switches=0.2)
    machine.run(1000)
    assert set(machine.chosen) == {2}
    assert machine.choice.reason == "one per core"


def test_beside_a_busy_process_fewer_threads_decode_and_all_when_it_has_gone() -> None:
    machine = Machine(2, ALONE)
    machine.run(10 * WINDOW_STEPS + 1)
    machine.times, machine.switches = BESIDE_ONE, 50
    machine.run(3 * WINDOW_STEPS)
    assert machine.choice.threads == 1
    assert "9.0 ms; with 2 it took 31.0 ms, beside other busy" in machine.choice.reason
    machine.times, machine.switches = ALONE, 0.2
    machine.run((MAX_PATIENCE + 3) * WINDOW_STEPS)
    assert machine.choice.threads == 2
    assert machine.run(100) == pytest.approx(ALONE[2])


def test_trials_in_vain_cost_little() -> None:
    machine = Machine(2, BESIDE_ONE, switches=50)
    machine.run(200)
    assert machine.run(2000) <= 1.03 * BESIDE_ONE[1]
    slower = Machine(2, {2: 0.01, 1: 0.02}, switches=50)  # busy, but fewer threads are no help
    slower.run(200)
    assert slower.run(2000) <= 1.03 * 0.01
    assert slower.choice.threads == 2


@pytest.mark.parametrize("best", range(1, 9))
def test_of_many_cores_as_many_as_are_free(best: int) -> None:
    times = {threads: 0.01 / threads if threads <= best else 0.05 for threads in range(1, 9)}
    machine = Machine(8, times, switches=50)
    machine.run(3000)
    assert machine.run(1000) <= 1.35 * times[best]


def test_another_number_of_sequences_is_not_compared() -> None:
    machine = Machine(2, BESIDE_ONE, switches=50)
    for sequences in range(1, 300):
        machine.run(WINDOW_STEPS - 1, sequences)
    assert set(machine.chosen) == {2}


def test_what_a_person_has_set_stays() -> None:
    choice = ThreadChoice(2, is_fixed=True, reason="as set", switches=lambda: 10**6)
    for _ in range(100):
        choice.stepped(1.0, 1)
    assert (choice.threads, choice.reason) == (2, "as set")


def test_what_is_only_tried_is_not_told() -> None:
    machine = Machine(2, BESIDE_ONE, switches=50)
    machine.run(WINDOW_STEPS + 2)
    assert (machine.choice.threads, machine.choice.settled) == (1, 2)


def test_what_must_come_out_the_same_has_always_the_same_number() -> None:
    choice = ThreadChoice(4, evaluating=3)
    choice.threads = 1
    assert choice.of_step(False, is_exact=False) == 1
    assert choice.of_step(False, is_exact=True) == 4
    assert choice.of_step(True, is_exact=True) == 3
