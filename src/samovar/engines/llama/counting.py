"""Counts the tokens of messages with the model's vocabulary and chat template, without its weights.

Above: `outlook.py`. Below: `vocabulary.py`, `chat.py`. It opens a model's file for its vocabulary only, which
takes a fraction of a second and the memory of the vocabulary, and gives it back on leaving.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from samovar.engines.llama.binding import open_binding
from samovar.engines.llama.chat import ChatTemplate
from samovar.engines.llama.vocabulary import Vocabulary
from samovar.errors import ModelFileError
from samovar.models.header import read_header
from samovar.models.split import first_part


@contextmanager
def open_template(path: Path) -> Iterator[ChatTemplate]:
    """The chat template of the model at `path`, which makes tokens of messages as a run does.

    Raises `ModelNotFoundError` and `ModelFileError` for the file, `PlatformError` if there is no engine.
    """
    read_header(path)  # what the engine asserts about a file ends the process
    binding = open_binding()
    binding.begin_use()
    try:
        params = binding.lib.llama_model_default_params()
        params.vocab_only = True
        params.n_gpu_layers = 0
        binding.errors_of_this_thread()
        model = binding.lib.llama_model_load_from_file(str(first_part(path)).encode(), params)
        if model == binding.ffi.NULL:
            reason = binding.reason()
            raise ModelFileError(f"{path} could not be read: {reason}")
        try:
            yield ChatTemplate.of(binding, model, Vocabulary(binding, model))
        finally:
            binding.tokenizing.close()  # an interrupted caller's call may still use the vocabulary
            binding.lib.llama_model_free(model)
    finally:
        binding.end_use()
