"""What is wrong or doubtful about a workflow that can be read, beside other files and its own names.

`checking.py` is where to begin. What is wrong within a text was found when it was read (`language/`).
"""
