"""llama.cpp, called through the C functions that the `xllamacpp` wheel exports.

`engine.py` loads, `model.py` is the weights, `arena.py` one context with its decode loop, `admission.py` who
runs in it; `binding.py` is the only file that touches the shared object. See `docs/engine.md` for the facts
behind it.
"""
