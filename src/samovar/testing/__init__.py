"""Tests of workflows with cases: no model, no command, no waiting.

`case_file.py` reads them, `trial.py` runs one, `recording.py` makes one of a run.
"""
