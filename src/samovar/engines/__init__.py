"""The engines: they load models.

`base.py` is the contract, `scripted.py` the short example that needs no model, `llama/` is llama.cpp.
To add one: a module here that fulfils `base.Engine`, a name in `app.py`, and the contract suite in
`tests/test_engine_contract.py` run over it.
"""
