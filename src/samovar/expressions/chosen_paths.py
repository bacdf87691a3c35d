"""Paths that may lead anywhere because their user chose them; otherwise these values are texts.

Above: parameters, which make them; the results of expressions, which keep them as they are; the actions on
files. Below: nothing. What an expression or a template makes of one is a text like any other.
"""

from __future__ import annotations


class OwnPath(str):
    """A path that the user of a workflow chose, and so may lead anywhere. What is made of it is a text."""

    __slots__ = ()


class FoundPath(OwnPath):
    """The path of a file that was found below a folder; up to there it is whose choice the folder was."""

    __slots__ = ("folder_chars",)

    folder_chars: int
    """Characters of the folder in the path."""

    def __new__(cls, text: str, folder_chars: int = 0) -> FoundPath:
        path = super().__new__(cls, text)
        path.folder_chars = folder_chars
        return path
