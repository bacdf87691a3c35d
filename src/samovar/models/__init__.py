"""Model files: how they are called, what is in them, what they cost, where they come from.

`reference.py` what a person calls a model · `store.py` the folder of fetched ones · `package.py` fetches from
a package index with `pip_download.py` · `header.py` says what a file holds and whether the engine can take
it, with `gguf.py` and `binary_reader.py` for the container, `tensor_types.py` and `engine_limits.py` for the
engine's limits, `architectures.py` for what it knows, and `shape.py` for what decides about memory ·
`cost.py` predicts bytes · `snapshots.py` copies of evaluated prefixes on disk, each as `snapshot_file.py` has
it.
"""
