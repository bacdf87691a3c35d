"""Everything before a run, once: find, parse, check, bind, find the models, preview.

`prepare.py` is the door that every run comes through. Nothing here loads a model, asks one, or runs a
command.
"""
