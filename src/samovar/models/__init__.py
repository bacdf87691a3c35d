"""Model files: their names, content, memory, and sources.

`reference.py` what a person calls a model · `stores.py` all places that keep models, with `stored.py` for
their contract: `store.py` those of packages, `hub_cache.py` the hub's cache, `ollama.py`, `lm_studio.py`;
and `quants.py` for which file of a repository is meant · `fetching.py` brings one here: `package.py` from a
package index with `pip_download.py`, `hub_download.py` from a hub with `hub_blob.py` and `hub.py` ·
`offers.py` which of those here would be better than the default · `header.py` says what a file holds and
whether the engine can take it, with `split.py` for models in several files, `gguf.py` and `binary_reader.py`
for the container, `tensor_types.py` and `engine_limits.py` for the engine's limits, `architectures.py` for
what it knows, and `shape.py` for what decides about memory; `glances.py` looks at many · `cost.py` predicts
bytes · `snapshots.py` copies of evaluated prefixes on disk, each as `snapshot_file.py` has it.
"""
