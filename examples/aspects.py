"""Many questions about one text, which is evaluated once: `python examples/aspects.py FILE`."""

import sys
from pathlib import Path

import anyio

import samovar

QUESTIONS = {
    "urgent": ["yes", "no"],
    "about": ["printing", "crash", "looks", "other"],
    "mood": ["angry", "neutral", "happy"],
}


async def main(text: str) -> None:
    async with samovar.open() as app, app.session(system="You judge bug reports.") as session:
        await session.ask(f"Read this report, and say only OK:\n\n{text}", choices=["OK"])

        async def judge(question: str, choices: list[str]) -> None:
            async with session.fork() as fork:
                turn = await fork.ask(f"In one word: is it {question}?", choices=choices)
                print(f"{question}: {turn.text} ({turn.tokens.reused} tokens reused)")

        async with anyio.create_task_group() as tasks:
            for question, choices in QUESTIONS.items():
                tasks.start_soon(judge, question, choices)


anyio.run(main, Path(sys.argv[1]).read_text(encoding="utf-8"))
