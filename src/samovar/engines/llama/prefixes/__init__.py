"""The prefix stores: they find evaluated prefixes of an arena again.

`base.py` is the contract; `tree.py` and `states.py` are its members.
"""
