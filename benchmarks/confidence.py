"""Whether a model is more often right where it is surer: `python -m benchmarks.confidence [--count 200]`.

Each item is a made review with the label it was made with. The model sorts it by `choices`; printed is how
many of all items it sorts right, and how many of the 80 % of which it was surest. Nothing is asserted: it is
a property of the model, by itself the default one.
"""

from __future__ import annotations

import argparse
import random
from collections.abc import Iterator
from dataclasses import dataclass

import samovar

SURE_SHARE = 0.8
CHOICES = ("positive", "negative")
_WORDS = {
    "positive": (
        *("wonderful", "excellent", "delicious", "friendly", "beautiful", "perfect", "lovely", "great"),
        *("brilliant", "fantastic"),
    ),
    "negative": (
        *("terrible", "awful", "disgusting", "rude", "ugly", "broken", "horrible", "bad", "useless"),
        "disappointing",
    ),
}
_THINGS = ("room", "food", "film", "service", "book", "hotel", "phone", "concert", "teacher", "garden")
_SENTENCES = (
    "The {thing} was {word}.",
    "I found the {thing} {word}.",
    "What a {word} {thing}!",
    "My {thing} is {word}, I must say.",
    "Everybody says that the {thing} is {word}.",
    "The {thing} was not {other}.",
)


@dataclass(frozen=True, slots=True)
class Sorted:
    """One item as the model sorted it."""

    is_right: bool
    confidence: float


def items(count: int, seed: int) -> Iterator[tuple[str, str]]:
    """So many reviews, each with what it is."""
    chance = random.Random(seed)
    for _ in range(count):
        label = chance.choice(CHOICES)
        word, other = (chance.choice(_WORDS[one]) for one in (label, *set(CHOICES) - {label}))
        sentence, thing = chance.choice(_SENTENCES), chance.choice(_THINGS)
        yield sentence.format(thing=thing, word=word, other=other), label


def right(found: list[Sorted]) -> float:
    """The part of them that is right."""
    return sum(one.is_right for one in found) / len(found)


def main() -> None:
    parser = argparse.ArgumentParser(description="Whether the default model is right where it is surer.")
    parser.add_argument("--count", type=int, default=200)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--model", default="smollm2")
    given = parser.parse_args()
    found: list[Sorted] = []
    with samovar.open_blocking(model=given.model, context_tokens=1024) as app:
        for text, label in items(given.count, given.seed):
            with app.session() as session:
                turn = session.ask(f"{text}\nThe sentiment of this review is", choices=list(CHOICES))
            found.append(Sorted(turn.text == label, turn.chosen[0].confidence))
    surest = sorted(found, key=lambda one: -one.confidence)
    sure, rest = surest[: round(SURE_SHARE * len(found))], surest[round(SURE_SHARE * len(found)) :]
    least = sure[-1].confidence
    print(f"all {len(found)} items: {right(found):.1%} right")
    print(f"the surest {SURE_SHARE:.0%}: {right(sure):.1%} right, from a confidence of {least:.2f} up")
    print(f"the others: {right(rest):.1%} right")


if __name__ == "__main__":
    main()
