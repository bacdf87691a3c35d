"""One answer of the scripted engine while it is said: its parts, and what of it outlives the process.

Above: `scripted.py`. Below: the parts of any answer.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from samovar.engines.answer import AnswerParts
from samovar.engines.lasting import Lasting, digest_of
from samovar.engines.markers import Markers
from samovar.engines.scripted_calls import reader_of
from samovar.engines.scripted_words import MOST_NUMBER, number_of, words
from samovar.generation import GoingOn, Message, Options, TextGenerated


def answer_to(options: Options, messages: Sequence[Message] = ()) -> AnswerParts:
    """What is said, parted and trimmed as an answer to a prompt with these options."""
    markers = None if options.raw else Markers(is_known=True)
    answer = AnswerParts(
        markers,
        stop=() if options.held_by else options.stop,
        choices=() if options.may_call else options.choices,
        form="grammar" if options.may_call and (options.held_by or options.must_call) else None,
    )
    if (reader := reader_of(messages, options)) is not None:
        answer.expect_calls(reader)
    return answer


@dataclass(slots=True, eq=False)
class ScriptedAnswer:
    """One answer while it is said. Mutable: how far it is."""

    parts: AnswerParts
    options: Options
    lasting: Lasting | None
    generated: int = 0

    @property
    def spent_s(self) -> float:
        """In earlier processes."""
        return self.lasting.spent_s if self.lasting else 0.0

    def follow(self, said: Sequence[str]) -> Iterator[TextGenerated]:
        """What was said in an earlier process, once more."""
        if self.lasting is not None and self.lasting.begun is not None:
            for token in said[: len(self.lasting.follow().tokens)]:
                yield from self.say(token)

    def say(self, token: str) -> list[TextGenerated]:
        self.generated += 1
        if self.lasting is not None:
            self.lasting.said.append(number_of(token))
        return self.parts.feed(token.encode("utf-8", "replace"))


def lasting_of(going_on: GoingOn, prompt: Sequence[str], said: str, options: Options) -> Lasting:
    """What of an answer outlives the process: its words, if those said then are those of now."""
    answer = tuple(map(number_of, words(said)))
    of = digest_of("scripted", (*map(number_of, prompt), *answer), options)
    lasting = Lasting(of=of, tell=going_on.keep, every_s=going_on.every_s)
    lasting.choose(going_on.begun, len(answer), MOST_NUMBER + 1)
    lasting.starts()
    return lasting
