"""Finds mistakes and doubts in a workflow that can be read, with the help of other files and its own names.

`checking.py` is where to begin. What is wrong within a text was found when it was read (`language/`).
"""
