"""Workflows of prompts, as Markdown, on a local model that is loaded once."""

__version__ = "0.1.0"
