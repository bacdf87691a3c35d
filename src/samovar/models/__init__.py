"""Model files: how they are called, what is in them, what they cost, where they come from.

`reference.py` what a person calls a model · `store.py` the folder of fetched ones · `package.py` fetches
from a package index · `header.py` reads a GGUF file's header · `cost.py` predicts bytes from it.
"""
