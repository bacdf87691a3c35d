"""The shelf of prefixes: what an arena has evaluated before, and finds again.

`base.py` is the contract; `tree.py` and `states.py` are its members.
"""
