"""Programs that are started here, and that nothing of them outlives us.

Above: actions, which run commands; executors, which speak to programs. Below: how a process is marked
(`projects/lineage.py`). `children.py` starts those that are spoken to, and `guard.py` ends them if we are
killed; `process_groups.py` ends what the commands of runs have left.
"""
