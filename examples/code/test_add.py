"""Tests of `add`, for examples/code.md: they end with another status than 0 if one fails."""

from add import add  # the answer of the model

assert add(2, 3) == 5, "add(2, 3) is not 5"
assert add(-1, 1) == 0, "add(-1, 1) is not 0"
