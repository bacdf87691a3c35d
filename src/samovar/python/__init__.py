"""The Python API: `samovar.open()` and `samovar.open_blocking()`.

`opening.py` is the way in, `api.py` what it gives, `sessions.py` a conversation, `runs.py` what a run gives,
`run_options.py` what it takes, `blocking.py` all of it for programs without an event loop. `figures.py` also
makes the object of `--json`.
"""
