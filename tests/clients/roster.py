"""Owns which clients are driven, by which program, and what each of them can show."""

from __future__ import annotations

from dataclasses import dataclass

# Dialects that the server does not have yet: their clients are skipped.
MISSING: frozenset[str] = frozenset()

NO_PARTS = ("schema_streamed",)
STEPS = ("chat", "chat_streamed", "tool", "tool_streamed", "schema", "schema_streamed")


@dataclass(frozen=True)
class Client:
    """A client, by one of its ways to talk to the server.

    Args:
        name: how tests and docs/clients.md call it.
        dialect: what it speaks.
        program: the file in `programs/`.
        steps: its names of the steps that all clients have, by `STEPS`.
    """

    name: str
    dialect: str
    program: str
    steps: dict[str, str]


def _client(
    name: str, dialect: str, program: str, prefix: str = "", without: tuple[str, ...] = ()
) -> Client:
    return Client(
        name, dialect, program, {step: prefix + step for step in STEPS if step not in without}
    )


def _by_responses(name: str, program: str, without: tuple[str, ...] = ()) -> Client:
    steps = {step: step.replace("chat", "response", 1) for step in STEPS if step not in without}
    for step in ("tool", "tool_streamed", "schema", "schema_streamed"):
        if step in steps:
            steps[step] = f"response_{step}"
    return Client(name, "responses", program, steps)


CLIENTS = (
    _client("openai (Python)", "chat", "openai_python.py"),
    _client("openai (Node)", "chat", "openai_js.mjs"),
    _by_responses("openai (Python), Responses", "openai_python.py"),
    _by_responses("openai (Node), Responses", "openai_js.mjs"),
    _client("anthropic (Python)", "anthropic", "anthropic_python.py"),
    _client("ollama (Python)", "ollama", "ollama_python.py"),
    _client("ollama (Node)", "ollama", "ollama_js.mjs"),
    _client("langchain-openai", "chat", "langchain_openai_python.py", without=NO_PARTS),
    _by_responses(
        "langchain-openai, Responses",
        "langchain_openai_python.py",
        ("tool_streamed", "schema", "schema_streamed"),
    ),
    _client(
        "langchain-anthropic",
        "anthropic",
        "langchain_anthropic_python.py",
        "",
        ("schema_streamed",),
    ),
    _client("langchain-ollama", "ollama", "langchain_ollama_python.py", without=NO_PARTS),
    _client("llama-index-llms-ollama", "ollama", "llama_index_ollama.py"),
    _client("litellm openai/", "chat", "litellm_python.py", "openai:", NO_PARTS),
    _client("litellm anthropic/", "anthropic", "litellm_python.py", "anthropic:", NO_PARTS),
    _client("litellm ollama_chat/", "ollama", "litellm_python.py", "ollama_chat:", NO_PARTS),
)
