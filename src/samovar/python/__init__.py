"""The Python API: what programs reach as `samovar.open()` and `samovar.open_blocking()`.

`opening.py` is the way in, `api.py` what it gives, `sessions.py` a conversation, `runs.py` and `run_options.py`
what a run gives and takes, `blocking.py` all of it for programs without an event loop. `figures.py` also makes
the object of `--json`.
"""
