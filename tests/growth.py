"""How much work something is, in CPU time of this thread: compared, since one machine is faster than another.

What other processes do meanwhile is not in it. Elapsed time is never compared: a busy machine has no bound.
"""

from __future__ import annotations

import gc
import time
from collections.abc import Callable

TIMES = 8
"""How much larger the larger of two inputs is. Quadratic work is then TIMES * TIMES as much."""
_MOST = 3 * TIMES
"""As much more work as may be measured where it is TIMES as much, or a little over as in n log n."""
_LEAST_S = 0.002
"""Below this the measuring itself counts."""


def cpu_s(work: Callable[[], object]) -> float:
    """CPU seconds of this thread for some work, without the collecting of garbage that others left."""
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        began_s = time.thread_time()
        work()
        return time.thread_time() - began_s
    finally:
        if was_enabled:
            gc.enable()


def assert_grows_with_size(prepare: Callable[[int], Callable[[], object]], size: int) -> None:
    """Fails if work of this size is out of proportion to work that is TIMES smaller.

    Args:
        prepare: Makes the input of a size, unmeasured, and returns the work on it.
        size: In whatever unit `prepare` counts.
    """
    prepare(size // TIMES**2)()  # what is done once, however large the input, is done here
    ratios = []
    for _ in range(3):
        small_s, large_s = cpu_s(prepare(size // TIMES)), cpu_s(prepare(size))
        ratios.append(large_s / max(small_s, _LEAST_S))
        if ratios[-1] <= _MOST:
            return
    said = ", ".join(f"{ratio:.0f}" for ratio in ratios)
    raise AssertionError(f"{TIMES} times the size took {said} times the work.")
