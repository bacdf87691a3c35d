"""Measurements of ratios, each a script with a command of its own; none is a timed test."""
