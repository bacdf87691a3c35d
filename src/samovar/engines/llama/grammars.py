"""Constrains an answer to a JSON Schema, a regular expression or a grammar, with llguidance.

Above: `guidance.py`, which makes them for one model; `sampling.py`, which asks a `Matcher` before each
token. Below: `constraint.py` (the contract), `reasons.py`, `spelling.py`. The functions are those of the
engine's own shared object, so nothing more is installed.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Sequence
from functools import cache
from typing import Any

from samovar.engines.llama.binding import Binding, open_binding
from samovar.engines.llama.choosing import MOST_FEW
from samovar.engines.llama.reasons import plainly
from samovar.engines.llama.token_table import TokenTable
from samovar.engines.llama.vocabulary import Vocabulary
from samovar.errors import EngineError, UnmetError
from samovar.generation import Form

log = logging.getLogger("samovar.engine")

MOST_FORCED = 16
"""Tokens that are taken unsampled in one step, at most: a batch is to have room for all sequences' tokens."""
_ERROR_BYTES = 2048
_KINDS = {"schema": "json_schema", "regex": "regex", "grammar": "lark"}
_NEVER = b"\x00\x00\x80\xff"
"""Minus infinity as a 32-bit number, lowest byte first."""
_WORDS = [b"".join(bytes([255 * (byte >> bit & 1)]) * 4 for bit in range(8)) for byte in range(256)]
"""By a byte of a mask: the masks of the 32-bit numbers of its eight tokens."""
_SLICES = tuple(rb'[^"\\\x00-\x1F\x7F]{1,%d}' % most for most in (10, 30))
"""Which tokens are looked at together while a text of JSON is open. The engine's own choice has one more, for
texts without a limit: it takes two thirds as long again to make, and no mask is faster for it."""

Spell = Callable[[bytes], list[int]]
"""The tokens whose pieces are these bytes, as the vocabulary's own tokenizer takes them."""


class Grammars:
    """Makes matchers for one vocabulary. Mutable: how text is spelled, which is set once."""

    def __init__(self, binding: Binding, table: TokenTable, *, can_spell: bool) -> None:
        """`can_spell`: `spell` is set before the first matcher is made; otherwise the longest piece is taken
        each time. Blocks: a fifth of a second for a large vocabulary."""
        self.ffi, self.lib = binding.ffi, binding.lib
        self.vocabulary_size = len(table.lengths)
        self.silent = table.silent
        """The tokens that say nothing."""
        self.spell: Spell | None = None
        ffi = self.ffi
        init = ffi.new("LlgTokenizerInit *")
        init.vocab_size, init.tok_eos = self.vocabulary_size, max(0, table.end)
        lengths_held = ffi.from_buffer("uint32_t[]", table.lengths)
        bytes_held = ffi.from_buffer("uint8_t[]", table.said)
        init.token_lens, init.token_bytes = lengths_held, bytes_held
        slices = [ffi.new("char[]", one) for one in _SLICES]
        slices_held = ffi.new("char *[]", [*slices, ffi.NULL])
        init.slices = ffi.cast("const char * const *", slices_held)
        self._callback = ffi.callback("LlgTokenizeFn", self._tokenize, error=0)
        if can_spell:
            init.tokenize_fn = self._callback
        else:
            init.use_approximate_greedy_tokenize_fn = True
        error = ffi.new("char[]", _ERROR_BYTES)
        tokenizer = self.lib.llg_new_tokenizer(init, error, _ERROR_BYTES)
        if tokenizer == ffi.NULL:
            raise EngineError(f"The model's vocabulary cannot be constrained: {_text(ffi.string(error))}")
        self._tokenizer = ffi.gc(tokenizer, self.lib.llg_free_tokenizer)
        self._init = ffi.new("LlgConstraintInit *")
        self.lib.llg_constraint_init_set_defaults(self._init, self._tokenizer)
        self._init.log_stderr_level = self._init.log_buffer_level = 0
        self._init.ff_tokens_ok = can_spell

    def _tokenize(self, _data: Any, raw: Any, size: int, output: Any, room: int) -> int:
        """What the engine calls for the tokens of forced text.

        It writes as many forced tokens as it gets here, however short the buffer is that is given for them.
        """
        assert self.spell is not None
        tokens = self.spell(bytes(self.ffi.buffer(raw, size)))[:MOST_FORCED]
        for index, token in enumerate(tokens[:room]):
            output[index] = token
        return len(tokens)

    def open(self, form: Form, *, is_compact: bool = True) -> Any:
        """A matcher of the engine. Raises `UnmetError` for a form that cannot be enforced.

        `is_compact`: JSON has no white space between its parts.
        """
        if "\0" in form.text:
            raise UnmetError(f"The {form.name} contains a NUL, which no model can write.")
        text = _spaced(form.text, is_flexible=not is_compact) if form.kind == "schema" else form.text
        try:
            raw = text.encode()
        except UnicodeEncodeError:
            raise UnmetError(
                f"The {form.name} contains half of a surrogate pair, which no model can write."
            ) from None
        matcher = self.lib.llg_new_matcher(self._init, _KINDS[form.kind].encode(), raw)
        matcher = self.ffi.gc(matcher, self.lib.llg_free_matcher)
        reason = self.lib.llg_matcher_get_error(matcher)
        if reason != self.ffi.NULL:
            said = self.ffi.string(reason)
            self.ffi.release(matcher)
            raise UnmetError(f"The {form.name} cannot be enforced: {plainly(_text(said))}")
        return matcher


def _spaced(schema: str, *, is_flexible: bool) -> str:
    """The schema, which says whether JSON may have white space between its parts."""
    try:
        value = json.loads(schema)
    except ValueError as error:
        raise UnmetError(f"The schema is not JSON: {error}.") from None
    if value is True:
        value = {}
    if not isinstance(value, dict):
        raise UnmetError("The schema cannot be enforced: it must be a JSON object.")
    return json.dumps({**value, "x-guidance": {"whitespace_flexible": is_flexible}})


def _text(raw: bytes) -> str:
    return raw.decode("utf-8", "replace")


@cache
def _of_bytes() -> Grammars:
    """For no model at all: a token for each byte, and one that ends an answer."""
    table = TokenTable.of_pieces([bytes([byte]) for byte in range(256)] + [b""], 256)
    return Grammars(open_binding(), table, can_spell=False)


def objection(form: Form) -> str | None:
    """Why this form cannot be enforced, with any model; None if they can.

    Raises `PlatformError` if the engine cannot run.
    """
    try:
        of_bytes = _of_bytes()
        of_bytes.ffi.release(of_bytes.open(form))
    except UnmetError as error:
        return str(error)
    return None


def accepts(form: Form, text: str) -> bool:
    """Whether a text has this form; white space between the parts of JSON does not matter.

    Raises `UnmetError` for a form that cannot be enforced, `PlatformError` if the engine cannot run.
    """
    of_bytes = _of_bytes()
    matcher = of_bytes.open(form, is_compact=False)
    lib, raw = of_bytes.lib, text.strip().encode() if form.kind == "schema" else text.encode()
    is_read = all(
        not lib.llg_matcher_is_stopped(matcher) and lib.llg_matcher_consume_token(matcher, byte) == 0
        for byte in raw
    )
    is_whole = is_read and bool(lib.llg_matcher_is_accepting(matcher))
    of_bytes.ffi.release(matcher)
    return is_whole


class Matcher:
    """See `constraint.Constraint`. Mutable: how far the answer is."""

    def __init__(self, grammars: Grammars, vocabulary: Vocabulary, form: Form, lead: int) -> None:
        """`lead`: line ends that may come before the answer, and are not part of it."""
        self._grammars, self._vocabulary, self._shape, self._lead = grammars, vocabulary, form, lead
        self._ffi, self._lib = grammars.ffi, grammars.lib
        self._matcher: Any = grammars.open(form)
        self._known: bytes | None = None
        """What `_bits` gives here, once it was asked for."""
        self._one = self._ffi.new("uint32_t[1]")
        self._forced = self._ffi.new("uint32_t[]", 4 * MOST_FORCED)

    @property
    def is_over(self) -> bool:
        return bool(self._lib.llg_matcher_is_stopped(self._matcher))

    def allows(self, token: int) -> bool:
        if self._vocabulary.is_end(token):
            return self._may_end
        if self._is_lead(token):
            return True
        if self.is_over:
            return False
        self._one[0] = token
        return bool(self._checked(self._lib.llg_matcher_validate_tokens(self._matcher, self._one, 1)))

    @property
    def _may_end(self) -> bool:
        return bool(self._lib.llg_matcher_is_accepting(self._matcher))

    def _is_lead(self, token: int) -> bool:
        piece = self._vocabulary.piece(token)
        return 0 < len(piece) <= self._lead and not piece.strip(b"\n")

    def mask(self, data: Any, candidates: Any) -> None:
        size = self._grammars.vocabulary_size
        logits = memoryview(self._ffi.buffer(data)).cast("B").cast("i")[1::3]
        said = int.from_bytes(logits.tobytes(), "little")
        never = int.from_bytes(_NEVER * size, "little")
        held = never ^ ((never ^ said) & int.from_bytes(self._allowed(), "little"))
        logits[:] = memoryview(held.to_bytes(4 * size, "little")).cast("i")

    def few(self) -> Sequence[int] | None:
        raw = self._bits()
        if self._lead or int.from_bytes(raw, "little").bit_count() > MOST_FEW:
            return None
        ends = self._vocabulary.ends
        found = [
            8 * index + bit for index, byte in enumerate(raw) if byte for bit in range(8) if byte >> bit & 1
        ]
        found = [token for token in found if token not in ends]
        return [*found, *ends] if self._may_end else found

    def _bits(self) -> bytes:
        """A bit for each token: whether the engine allows it."""
        if self._known is not None:
            return self._known
        size = self._grammars.vocabulary_size
        bits = self._ffi.new("uint32_t[]", (size + 31) // 32)
        if not self.is_over:
            status = self._lib.llg_matcher_compute_mask_into(self._matcher, bits, self._ffi.sizeof(bits))
            self._checked(status)
        self._known = bytes(self._ffi.buffer(bits)[: (size + 7) // 8])
        return self._known

    def _allowed(self) -> bytes:
        """For each token four bytes: all ones if it is allowed, else none."""
        size, raw = self._grammars.vocabulary_size, self._bits()
        words = bytearray(b"".join(map(_WORDS.__getitem__, raw))[: 4 * size])
        for token in self._vocabulary.ends:
            words[4 * token : 4 * token + 4] = (b"\xff" if self._may_end else b"\0") * 4
        for token in self._vocabulary.line_ends if self._lead else ():
            if self._is_lead(token):
                words[4 * token : 4 * token + 4] = b"\xff" * 4
        return bytes(words)

    def passes_over(self, token: int) -> bool:
        return False

    def accept(self, token: int) -> None:
        if self._vocabulary.is_end(token):
            return
        if self._is_lead(token):
            self._lead -= len(self._vocabulary.piece(token))
            return
        self._lead, self._known = 0, None
        self._checked(self._lib.llg_matcher_consume_token(self._matcher, token))

    def forced(self) -> list[int]:
        if self._lead or self.is_over:
            return []
        count = self._lib.llg_matcher_compute_ff_tokens(self._matcher, self._forced, MOST_FORCED)
        tokens = list(self._forced[0 : self._checked(count)])
        # A control token comes behind all of a text, of which `_tokenize` may have given only the beginning.
        silent = next(
            (place for place, one in enumerate(tokens) if one in self._grammars.silent), len(tokens)
        )
        return tokens[:silent] or tokens[:1]

    def _checked(self, status: int) -> int:
        """What the engine gave back. Raises `EngineError` if it says that something went wrong."""
        if status < 0:
            reason = self._lib.llg_matcher_get_error(self._matcher)
            said = "no reason given" if reason == self._ffi.NULL else _text(self._ffi.string(reason))
            log.debug("a constraint failed: %s", said)
            raise EngineError(f"The {self._shape.name} could not be enforced on the answer: {plainly(said)}")
        return status

    def close(self) -> None:
        if self._matcher is not None:
            self._ffi.release(self._matcher)
        self._matcher = None
