"""Runs of workflows: from one state to the next, to an ending, with a record of all that happened.

`runner.py` is where to begin. It asks executors and actions, and knows neither models nor files of workflows.
"""
