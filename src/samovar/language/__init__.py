"""What a workflow file means: text in, frozen values out, and everything that is wrong with it.

`reading.py` is where to begin: it reads a whole file with the help of the others. Nothing here runs one.
"""
