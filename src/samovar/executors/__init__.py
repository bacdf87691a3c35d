"""The shelf of executors: who answers a prompt.

`base.py` is the waist between the workflow half and the model half. To add one: a module here that fulfils
`base.Executor`, and a name in `app.py`.
"""
