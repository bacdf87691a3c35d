"""The shared library: found, checked, opened once, its log lines routed to `logging`.

Above: every file of this folder. Below: `declarations.py`, `machine.py`, `tokenizing.py`. It is the only
place that opens the object. Symbol visibility is an accident of the wheel's build, so an unknown build is
refused.
"""

from __future__ import annotations

import importlib.metadata
import importlib.util
import logging
import os
import sys
import threading
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import Any

from samovar.engines.llama import declarations, machine
from samovar.engines.llama.tokenizing import TokenizingThreads
from samovar.errors import PlatformError
from samovar.errors.installing import install_command
from samovar.models.held_weights import EngineBuild, this_build
from samovar.models.tuning import SPIN_COUNT

log = logging.getLogger("samovar.engine")

_LEVELS = {1: logging.DEBUG, 2: logging.DEBUG, 3: logging.INFO, 4: logging.WARNING}


class Binding:
    """The opened object: `lib` has the functions, `ffi` makes C values. There is one per process."""

    def __init__(self, path: Path) -> None:
        from samovar.engines.llama.compiled_declarations import ffi

        self.notes: tuple[str, ...] = ()
        self.ffi: Any = ffi
        self._check_sizes()
        with self._wait_policy():
            self.lib: Any = self._open(path)
        self._check_defaults()
        self._errors: deque[tuple[int, str]] = deque(maxlen=64)
        self._reporting = threading.Lock()
        self._log_callback = self.ffi.callback("ggml_log_callback", self._log)
        self._users = 0
        self.tokenizing = TokenizingThreads()
        """Every call of `llama_tokenize` is made there; they end with the last use."""

    def errors_of_this_thread(self) -> list[str]:
        """The error lines the engine logged on the calling thread since last asked."""
        own = threading.get_ident()
        with self._reporting:
            entries = list(self._errors)
            self._errors.clear()
            self._errors.extend(entry for entry in entries if entry[0] != own)
        return [text for thread, text in entries if thread == own]

    def reason(self) -> str:
        """Why the engine's last call on this thread failed, as far as it said that."""
        return "; ".join(self.errors_of_this_thread()) or "no reason given"

    def begin_use(self) -> None:
        """Before the first model of an engine: starts the backend, and routes its log lines here."""
        with _opening:
            self._users += 1
            if self._users == 1:
                self.lib.llama_log_set(self._log_callback, self.ffi.NULL)
                self.lib.llama_backend_init()

    def end_use(self) -> None:
        """After the last model of an engine: frees the backend when no engine uses it any more.

        From then on log lines go to a function of the object itself, so that nothing can call into an
        interpreter that is going down.
        """
        with _opening:
            self._users -= 1
            if self._users == 0:
                self.tokenizing.close()
                self.lib.llama_backend_free()
                nothing = self.ffi.cast("ggml_log_callback", self.lib.ggml_time_init)
                self.lib.llama_log_set(nothing, self.ffi.NULL)

    def give_back_memory(self) -> None:
        """Hands what was freed back to the operating system, which glibc does not do by itself."""
        if machine.read_machine().libc == "glibc":
            self.libc.malloc_trim(0)

    @cached_property
    def libc(self) -> Any:
        """The C library. It is opened once: what cffi makes for one that is opened is never freed."""
        return self.ffi.dlopen(None)

    def build(self) -> EngineBuild:
        """What this build of the engine does with weights, as it says itself."""
        has = {
            "avx2": self.lib.ggml_cpu_has_avx2(),
            "avx512": self.lib.ggml_cpu_has_avx512(),
            "neon": self.lib.ggml_cpu_has_neon(),
            "dotprod": self.lib.ggml_cpu_has_dotprod(),
            "matmul_int8": self.lib.ggml_cpu_has_matmul_int8(),
        }
        features = frozenset(name for name, value in has.items() if value)
        return replace(this_build(), features=features)

    def _log(self, level: int, text: Any, _data: Any) -> None:
        line = self.ffi.string(text).decode("utf-8", "replace").rstrip()
        if not line or line == ".":
            return
        if level == 4:
            with self._reporting:
                self._errors.append((threading.get_ident(), line))
        # The engine calls much an error or a warning that a person can do nothing about.
        log.log(min(_LEVELS.get(level, logging.DEBUG), logging.INFO), "%s", line)

    @contextmanager
    def _wait_policy(self) -> Iterator[None]:
        """OpenMP reads its variables when it is first loaded: set for the opening, given back after."""
        chosen = {"GOMP_SPINCOUNT": str(SPIN_COUNT), "GGML_NO_BACKTRACE": "1"}
        if any(name in os.environ for name in ("OMP_WAIT_POLICY", "GOMP_SPINCOUNT")):
            del chosen["GOMP_SPINCOUNT"]
        elif _is_mapped("libgomp"):
            self.notes += (
                "OpenMP was loaded before the engine, so its threads keep the waiting policy "
                "set at that time.",
            )
        os.environ.update(chosen)
        try:
            yield
        finally:
            for name in chosen.keys() - {"GGML_NO_BACKTRACE"}:
                os.environ.pop(name, None)

    def _open(self, path: Path) -> Any:
        try:
            return self.ffi.dlopen(str(path))
        except OSError as error:
            if "libgomp" in str(error):
                raise PlatformError(
                    "The engine needs the system library libgomp.so.1, which is not installed. "
                    "On Debian and Ubuntu: apt-get install libgomp1; on Fedora: dnf install libgomp."
                ) from error
            raise PlatformError(f"The engine's shared library cannot be opened: {error}") from error

    def _check_sizes(self) -> None:
        for name, size in declarations.STRUCT_BYTES.items():
            if self.ffi.sizeof(name) != size:
                raise PlatformError(
                    f"The engine's {name} has {self.ffi.sizeof(name)} bytes on this platform, not {size}. "
                    f"Supported: {machine.SUPPORTED}."
                )

    def _check_defaults(self) -> None:
        """The canary: values at the offsets we believe in must be those of the pinned build."""
        for wanted, got in (
            (declarations.MODEL_DEFAULTS, self.lib.llama_model_default_params()),
            (declarations.CONTEXT_DEFAULTS, self.lib.llama_context_default_params()),
        ):
            for name, value in wanted.items():
                if (found := getattr(got, name)) != value:
                    raise PlatformError(
                        f"This is an unknown build of the engine: {name} is {found}, not {value}."
                        f" Known: {declarations.WHEEL} {declarations.WHEEL_VERSION}; install exactly that."
                    )
        flag = self.ffi.new("struct ggml_tensor_head *")
        flag.ne = [1, 1, 1, 1]
        if self.lib.ggml_is_empty(flag):
            raise PlatformError("This is an unknown build of the engine (ggml_is_empty reads other fields).")
        flag.ne[0] = 0
        if not self.lib.ggml_is_empty(flag):
            raise PlatformError("This is an unknown build of the engine (ggml_is_empty reads other fields).")


def _is_mapped(name: str) -> bool:
    try:
        return name in Path("/proc/self/maps").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return False


def find_library() -> Path:
    """The wheel's shared object, found without importing the wheel. Raises `PlatformError`."""
    spec = importlib.util.find_spec(declarations.WHEEL)
    try:
        version = importlib.metadata.version(declarations.WHEEL)
    except importlib.metadata.PackageNotFoundError:
        version = None
    if spec is None or version is None or not spec.submodule_search_locations:
        raise PlatformError(
            "The engine is not installed: "
            + install_command(f"{declarations.WHEEL}=={declarations.WHEEL_VERSION}")
        )
    if version.partition("+")[0] != declarations.WHEEL_VERSION:  # `+cu…` and the like: other devices
        raise PlatformError(
            f"The engine's version is {version}, but Samovar knows only {declarations.WHEEL_VERSION}: "
            + install_command(f"{declarations.WHEEL}=={declarations.WHEEL_VERSION}")
        )
    for folder in spec.submodule_search_locations:
        for path in sorted(Path(folder).glob("xllamacpp*.so")):
            return path
    raise PlatformError(
        f"{declarations.WHEEL} {version} is installed without its shared library; reinstall it."
    )


_opened: Binding | None = None
_opening = threading.Lock()


def open_binding() -> Binding:
    """The process's one binding: a shared object can be opened, and told where to log, only once.

    Raises `PlatformError` if this machine cannot run it.
    """
    global _opened
    with _opening:
        if _opened is None:
            reason = machine.objection(machine.read_machine())
            if reason:
                raise PlatformError(reason)
            _opened = Binding(find_library())
            if sys.platform == "linux":
                log.debug("opened %s", declarations.WHEEL_VERSION)
        return _opened
