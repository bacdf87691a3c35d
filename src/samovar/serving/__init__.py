"""Models while they are in memory: each loaded once, within a budget, answering conversations.

`session.py` is one conversation, `pool.py` lends it a model, `room.py` decides who has the room.
"""
