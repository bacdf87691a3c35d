"""A door beside the command line: a daemon that loads each model once for all processes of a user.

Above: `cli/`. Below: `python/`, `preflight/`, `app.py`, and `dialects/` for what HTTP clients speak. Other
commands import nothing of it: they reach a running daemon as an executor, `executors/daemon.py`.
"""
