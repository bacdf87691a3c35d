"""Model files: how they are called, what is in them, what they cost, where they come from.

`reference.py` what a person calls a model · `store.py` the folder of fetched ones · `package.py` fetches
from a package index · `header.py` says what a file holds and whether the engine can take it, with `gguf.py`
for the container, `asserted.py` and `architectures.py` for the engine's limits · `cost.py` predicts bytes.
"""
