"""The executors: they answer prompts.

`base.py` is the waist between the workflow half and the model half. To add a member: a module here with a
class that fulfils `table.Member`, and one name in the table of `table.py` (docs/extending.md shows it).
"""
