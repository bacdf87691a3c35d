"""The Python API: what programs reach as `samovar.open()` and `samovar.open_blocking()`.

`api.py` is the door, `sessions.py` a conversation, `blocking.py` both for programs without an event loop.
"""
