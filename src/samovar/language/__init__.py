"""The meaning of a workflow file: text in, frozen values and all mistakes out.

`reading.py` is where to begin: it reads a whole file with the help of the others. Nothing here runs one.
"""
