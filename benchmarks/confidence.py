"""Whether a model is more often right where it is surer: `python -m benchmarks.confidence [--count 200]`.

Each item is a made sentence that is about one of three things, with the label it was made with. The model
sorts it by `choices`; printed is how many of all items it sorts right, and how many of the 80 % of which it
was surest. Nothing is asserted: it is a property of the model.
"""

from __future__ import annotations

import argparse
import random
from collections.abc import Iterator
from dataclasses import dataclass

import samovar

SURE_SHARE = 0.8
_ABOUT = {
    "food": (
        *("soup", "bread", "cheese", "apple", "dinner", "recipe", "cake", "restaurant", "breakfast", "salad"),
        *("noodles", "kitchen", "pepper", "lunch", "butter"),
    ),
    "sport": (
        *("football", "tennis", "match", "goal", "team", "race", "coach", "swimming", "player", "stadium"),
        *("marathon", "score", "champion", "training", "ball"),
    ),
    "weather": (
        *("rain", "storm", "sunshine", "snow", "cloud", "wind", "temperature", "forecast", "fog", "thunder"),
        *("frost", "hail", "heat", "drizzle", "sky"),
    ),
}
_SENTENCES = (
    "We talked about the {one} and the {other} all evening.",
    "The {one} was better than anybody had expected.",
    "Nobody had told me about the {one}.",
    "She wrote a letter about the {one} and about a {other}.",
    "There was a {one} yesterday, and everybody saw it.",
    "I never liked the {one}, but the {other} was fine.",
    "He asked whether the {one} would be there again tomorrow.",
)


@dataclass(frozen=True, slots=True)
class Sorted:
    """One item as the model sorted it."""

    is_right: bool
    confidence: float


def items(count: int, seed: int) -> Iterator[tuple[str, str]]:
    """So many sentences, each with what it is about. In one of four a word of another kind is mixed in."""
    chance = random.Random(seed)
    for _ in range(count):
        label = chance.choice(list(_ABOUT))
        one, other = chance.sample(_ABOUT[label], 2)
        if chance.random() < 0.25:
            other = chance.choice(_ABOUT[chance.choice([name for name in _ABOUT if name != label])])
        yield chance.choice(_SENTENCES).format(one=one, other=other), label


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
                asked = f"Is this sentence about food, sport or weather? {text}"
                turn = session.ask(asked, choices=list(_ABOUT))
            found.append(Sorted(turn.text == label, turn.chosen[0].confidence))
    surest = sorted(found, key=lambda one: -one.confidence)
    sure, rest = surest[: round(SURE_SHARE * len(found))], surest[round(SURE_SHARE * len(found)) :]
    least = sure[-1].confidence
    print(f"all {len(found)} items: {right(found):.1%} right")
    print(f"the surest {SURE_SHARE:.0%}: {right(sure):.1%} right, from a confidence of {least:.2f} up")
    print(f"the others: {right(rest):.1%} right")


if __name__ == "__main__":
    main()
