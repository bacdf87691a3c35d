"""A chat in the terminal that never outgrows its context: `python examples/chat.py`. Ctrl-D ends it."""

import sys

import samovar

with (
    samovar.open_blocking() as app,
    app.session(system="You are a friendly, brief companion.", overflow="drop_oldest") as session,
):
    for line in iter(lambda: sys.stdin.readline(), ""):
        pieces = session.stream(line.strip() or "Go on.", max_tokens=200)
        for piece in pieces:
            print(piece, end="", flush=True)
        turn = pieces.turn
        forgotten = f", {turn.dropped_messages} messages forgotten" if turn.dropped_messages else ""
        print(f"\n[{turn.tokens.generated} tokens in {turn.duration_s:.1f} s{forgotten}]")
