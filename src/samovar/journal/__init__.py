"""Where runs are kept, so that one that was interrupted can continue: a contract, and its members.

Above: the runner, which writes each visit before it begins and after it has ended; the doors, which list
runs. Below: the records of runs. `base.py` is the contract, `sqlite.py` the place on disk.
"""
