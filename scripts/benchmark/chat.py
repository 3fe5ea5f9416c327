"""Owns the conversations that measurements send: their bodies and how long they are in tokens."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

from app.models.gguf import read_header
from scripts.benchmark.console import BenchFailed
from scripts.benchmark.http_client import HttpClient
from scripts.benchmark.streamed import Streamed

CHAT_PATH = "/v1/chat/completions"
QUESTIONS = ("Which lamps are on?", "What will the weather be?")

# Texts by which llama.cpp knows a token as an end, whatever the header says.
_END_TEXTS = ("<|im_end|>", "<|endoftext|>", "<|end|>", "<|eot_id|>", "</s>", "<eos>")
_END_KEYS = ("eos_token_id", "eot_token_id", "eom_token_id")
_WORDS = (
    "a device in the house answers when people ask it about lamps music weather and time "
    "every room has its own name so the hall is not the kitchen please keep an answer short "
    "never guess what was meant but say that something is missing read the list of tools "
    "before one is called and copy numbers as they were spoken"
)


def chat_body(messages: list[dict[str, str]], max_tokens: int, **more: Any) -> dict[str, Any]:
    """Return the body of a chat request whose last event states the usage."""
    options = {"stream_options": {"include_usage": True}}
    return {"messages": messages, "max_tokens": max_tokens, **options, **more}


def end_token_bias(client: HttpClient, model: Path) -> dict[str, float]:
    """Return a `logit_bias` that keeps a model from ending its answer.

    Random weights may choose an end at any moment, and an answer must have its full length.
    """
    with model.open("rb") as file:
        values = read_header(file, model.stat().st_size).values
    named = [values.get(f"tokenizer.ggml.{key}") for key in _END_KEYS]
    ids = {value for value in named if isinstance(value, int)}
    for text in _END_TEXTS:
        tokens = client.post("/tokenize", {"content": text})["tokens"]
        if len(tokens) == 1:
            ids.add(int(tokens[0]))
    return {str(token): -100.0 for token in sorted(ids)}


def random_text(client: HttpClient, n_tokens: int) -> str:
    """Return a text that was never sent before, of `n_tokens` tokens or just above."""
    words = [f"house {random.getrandbits(40)}"]
    while True:
        text = " ".join(words)
        n_missing = n_tokens - len(client.post("/tokenize", {"content": text})["tokens"])
        if n_missing <= 0:
            return text
        words += random.choices(_WORDS.split(), k=n_missing // 4 + 1)


def ask(client: HttpClient, text: str, n_tokens: int, **more: Any) -> Streamed:
    """Return the answer to one question, of exactly `n_tokens` tokens.

    Our server makes no guesses at them, unless `more` says so: random weights come to repeat
    themselves as no trained model does.

    Raises:
        BenchFailed: the answer ended early.
    """
    messages = [{"role": "user", "content": text}]
    options = {"speculate": False} | more
    answer = client.stream(CHAT_PATH, chat_body(messages, n_tokens, **options))
    check_length(answer, n_tokens)
    return answer


def ask_under(
    client: HttpClient, system: str, question: str, n_tokens: int, **more: Any
) -> Streamed:
    """Return the answer to one question under a system prompt."""
    messages = [{"role": "system", "content": system}, {"role": "user", "content": question}]
    return client.stream(CHAT_PATH, chat_body(messages, n_tokens, **more))


def ask_two(client: HttpClient, system: str, n_tokens: int, **more: Any) -> list[Streamed]:
    """Return the answers to two questions under the same system prompt, one after the other."""
    return [ask_under(client, system, question, n_tokens, **more) for question in QUESTIONS]


def check_length(answer: Streamed, n_tokens: int) -> None:
    """Raise `BenchFailed` where an answer ended early."""
    if answer.n_tokens != n_tokens:
        raise BenchFailed(f"an answer ended after {answer.n_tokens} of {n_tokens} tokens")


def prompt_counts(answer: Streamed) -> str:
    """Return the length of the prompt, how much of it the server had, and where, in words."""
    where = f", {answer.tier}" if answer.n_cached and answer.tier else ""
    return f"{answer.usage['prompt_tokens']} ({answer.n_cached} cached{where})"
