"""Tests of workflows by cases: no model, no command, no waiting.

`cases.py` reads them, `trial.py` runs one, `recording.py` makes one of a run.
"""
