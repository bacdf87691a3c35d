"""Expressions: read once with their places and types, evaluated with every step counted.

Above: `language/`, which finds them in files, and what evaluates them. Below: `values.py`, `errors/`.
"""
