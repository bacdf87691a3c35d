"""A program that speaks as Claude Code does, and misbehaves as the prompt says: for tests.

It answers `TURNS:TEXT`, or does what a word in the prompt names. With `FAKE_LOG` it writes what it was
started with and told into that file, a JSON value a line.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

ARGUMENTS = sys.argv[1:]
RESULTS: dict[str, dict[str, Any]] = {
    "NOLOGIN": {"is_error": True, "result": "Not logged in · Please run /login"},
    "UNAUTHORISED": {"is_error": True, "api_error_status": 401, "result": "Failed to authenticate."},
    "LIMITED": {
        "is_error": True,
        "api_error_status": 429,
        "api_error_type": "rate_limit_error",
        "result": "no",
    },
    "OVERLOADED": {
        "is_error": True,
        "api_error_status": 529,
        "api_error_type": "overloaded_error",
        "result": "no",
    },
    "BROKEN": {"is_error": True, "api_error_status": 500, "api_error_type": "api_error", "result": "no"},
    "SHOWN": {"is_error": True, "result": f"The key {os.environ.get('ANTHROPIC_API_KEY')} is wrong."},
    "OLDER": {"is_error": True, "result": "API Error: Unable to connect to API (ConnectionRefused)"},
    "UNREACHABLE": {"is_error": True, "api_error": "connection_failed", "result": "Connection refused"},
    "TOOLONG": {
        "is_error": True,
        "terminal_reason": "prompt_too_long",
        "api_error_status": 400,
        "result": "Prompt is too long · the request is ~250000 tokens (limit 200000)",
    },
    "BADFORM": {"is_error": True, "subtype": "error_max_structured_output_retries"},
    "ODD": {"is_error": True, "subtype": "error_during_execution", "errors": ["something", "else"]},
}

LISTENS = """
import socket, time
with socket.socket() as listening:
    listening.bind(("127.0.0.1", 0))
    listening.listen()
    time.sleep(600)
"""
"""A program of its own session, which has a port."""


def value_of(option: str) -> str | None:
    return ARGUMENTS[ARGUMENTS.index(option) + 1] if option in ARGUMENTS else None


def say(message: dict[str, Any]) -> None:
    sys.stdout.write(json.dumps(message) + "\n")
    sys.stdout.flush()


def log(value: object) -> None:
    if "FAKE_LOG" in os.environ:
        with open(os.environ["FAKE_LOG"], "a", encoding="utf-8") as file:
            file.write(json.dumps(value) + "\n")


def transcript(number: str) -> Path:
    return Path(os.environ["CLAUDE_CONFIG_DIR"], "projects", "here", f"{number}.jsonl")


def made_for(schema: dict[str, Any], root: dict[str, Any]) -> object:
    """A value of a schema."""
    if "$ref" in schema:
        return made_for(root["$defs"][schema["$ref"].rpartition("/")[2]], root)
    if "enum" in schema:
        return schema["enum"][-1]
    if schema.get("type") == "object":
        return {name: made_for(one, root) for name, one in schema["properties"].items()}
    return [made_for(schema["items"], root)] if schema.get("type") == "array" else "billing"


class Claude:
    def __init__(self) -> None:
        resumed, self.number = value_of("--resume"), value_of("--session-id")
        self.said: list[str] = []
        if resumed is not None:
            if not transcript(resumed).exists():
                say(
                    {
                        "type": "result",
                        "subtype": "error_during_execution",
                        "is_error": True,
                        "errors": ["No"],
                    }
                )
                sys.exit(1)
            self.said = json.loads(transcript(resumed).read_text())
            self.number = self.number if "--fork-session" in ARGUMENTS else resumed
        self.turns = 0

    def event(self, event: dict[str, Any], **more: Any) -> None:
        say({"type": "stream_event", "event": event, "parent_tool_use_id": None, **more})

    def text(self, text: str, kind: str = "text") -> None:
        self.event({"type": "content_block_delta", "delta": {"type": f"{kind}_delta", kind: text}})

    def stop(self, reason: str) -> None:
        usage = {"output_tokens": 5}
        self.event({"type": "message_delta", "delta": {"stop_reason": reason}, "usage": usage})

    def result(self, **more: Any) -> None:
        basis = os.environ.get("BASIS", "list")
        used = {"m": {"costUSD": 0.5, **({"costBasis": basis} if basis else {})}}
        say(
            {  # the kind is not the first key: lines are read, not matched
                "total_cost_usd": 0.5 * self.turns,
                "usage": {
                    "input_tokens": 10 * len(self.said),
                    "cache_read_input_tokens": 3,
                    "output_tokens": 5,
                },
                "model_usage_since_last_result": used,
                "is_error": False,
                "subtype": "success",
                "type": "result",
                **more,
            }
        )

    def turn(self, text: str) -> None:
        self.turns += 1
        self.said.append(text)
        say({"type": "system", "subtype": "init", "session_id": self.number})
        for word, wrong in RESULTS.items():
            if word in text:
                self.result(**wrong)
                return
        self.event({"type": "message_start", "message": {"model": "m", "usage": {"input_tokens": 10}}})
        if self.number is not None and "--no-session-persistence" not in ARGUMENTS:
            transcript(self.number).parent.mkdir(parents=True, exist_ok=True)
            transcript(self.number).write_text(json.dumps(self.said))
        self.answer(text)

    def answer(self, text: str) -> None:
        if "SPAWN" in text:
            words = [sys.executable, "-c", LISTENS]
            child = subprocess.Popen(words, stdout=subprocess.DEVNULL, start_new_session=True)
            log({"spawned": child.pid})
        if "HANG" in text:
            self.text("Half")
            self.wait()
        elif "DIE" in text:
            sys.stderr.write(f"it went wrong with {os.environ.get('ANTHROPIC_API_KEY')}\n")
            os._exit(3)
        elif "HUGE" in text:
            sys.stdout.write("x" * 20_000_000 + "\n")
        elif "TOOLS" in text:
            self.permission("Bash", {"command": "touch x"})
        elif "USES" in text:  # USES TOOL {what it is given}
            _, tool, given = text[text.index("USES") :].split(" ", 2)
            self.permission(tool, json.loads(given))
        elif "LONG" in text:
            self.text("too much")
            self.stop("max_tokens")
            self.wait()
        elif "DECLINE" in text:
            self.stop("refusal")
            self.wait()
        elif (schema := value_of("--json-schema")) is not None:
            self.formed(json.loads(schema))
        else:
            self.plain(text)

    def plain(self, text: str) -> None:
        if "GARBAGE" in text:
            sys.stdout.write("[not for you] {\n\n[1, 2]\n\x00\xff" + "[" * 5000 + "\n")
        if "THINK" in text:
            self.text("Hm.", "thinking")
        answer = f"{len(self.said)}:{text}"
        if int(os.environ["CLAUDE_CODE_MAX_OUTPUT_TOKENS"]) < 3:
            self.text(answer[:3])
            self.stop("max_tokens")
            self.wait()
            return
        for piece in (answer[:3], answer[3:]):
            self.text(piece)
        self.stop("end_turn")
        self.result(result=answer)
        if "STAY" in text:
            sys.stdin.read()
            while True:
                time.sleep(60)

    def formed(self, schema: dict[str, Any]) -> None:
        self.text("I will.")
        self.stop("tool_use")
        self.result(structured_output=made_for(schema, schema))

    def permission(self, tool: str, given: dict[str, Any]) -> None:
        self.text("First I look.")
        self.stop("tool_use")
        asked = {"subtype": "can_use_tool", "tool_name": tool, "input": given}
        say({"type": "control_request", "request_id": "r1", "request": asked})
        answer = json.loads(sys.stdin.readline())
        log({"permission": answer})
        behaviour = answer["response"]["response"]["behavior"]
        self.event({"type": "message_start", "message": {"model": "m"}})
        self.text(f"It was {behaviour}.")
        self.stop("end_turn")
        self.result(result=f"It was {behaviour}.")

    def wait(self) -> None:
        """Until it is interrupted, if it hears that."""
        if "DEAF" in self.said[-1]:
            while True:
                time.sleep(60)
        for line in sys.stdin:
            message = json.loads(line)
            if message["type"] == "control_request":
                say({"type": "control_response", "response": {"request_id": message["request_id"]}})
                self.result(is_error=True, subtype="error_during_execution")
                return
        sys.exit(0)


def main() -> None:
    log({"arguments": ARGUMENTS, "environment": dict(os.environ), "number": os.getpid()})
    claude = Claude()
    for line in iter(sys.stdin.readline, ""):
        message = json.loads(line)
        if message["type"] == "user":
            log({"said": message["message"]["content"]})
            file = value_of("--system-prompt-file")
            log({"system": Path(file).read_text() if file else value_of("--system-prompt")})
            claude.turn(message["message"]["content"])


if __name__ == "__main__":
    main()
