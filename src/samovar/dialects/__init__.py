"""The HTTP APIs that programs use for models already, each over the waist.

Above: `serve/`, which checks who calls. Below: `executors/base.py`, into whose plain values every dialect is
turned. Nothing here knows a workflow, a model, or the daemon.
"""
