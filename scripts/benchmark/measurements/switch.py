"""Owns what a switch of models and back leaves of a conversation: its next time to first token."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from scripts.benchmark.chat import (
    CHAT_PATH,
    QUESTIONS,
    ask_under,
    chat_body,
    end_token_bias,
    prompt_counts,
    random_text,
)
from scripts.benchmark.console import say
from scripts.benchmark.disk_folder import disk_folder
from scripts.benchmark.http_client import HttpClient
from scripts.benchmark.measurements.prefix import ANSWER_TOKENS, PREFIX_TOKENS
from scripts.benchmark.plan import Plan
from scripts.benchmark.results import Result, Target
from scripts.benchmark.streamed import Streamed

NAMES = ("here.gguf", "there.gguf")
_TARGET = Target(0.08, of="ratio")


def measure(plan: Plan) -> list[Result]:
    """Switch between two names of one model, in the middle of a conversation."""
    cold: list[float] = []
    after: list[float] = []
    note = ""
    with disk_folder() as folder:
        models = under_two_names(plan.speed_model(), folder)
        settings = {"cache_dir": str(folder / "cache"), "disk_daily_write_mb": 0}
        with plan.speed_server(model=models / NAMES[0], settings=settings) as server:
            bias = end_token_bias(server.client, plan.speed_model())
            for repeat in range(-1, plan.n_repeats):
                system = random_text(server.client, PREFIX_TOKENS if repeat >= 0 else 60)
                first, second = _there_and_back(server.client, system, bias)
                if repeat < 0:  # the first switch warms up
                    continue
                cold.append(first.ttft_ms)
                after.append(second.ttft_ms)
                note = f"the conversation's second turn; prompt tokens: {prompt_counts(second)}"
                say(
                    f"switch {repeat + 1}/{plan.n_repeats}: {cold[-1]:.0f}, then {after[-1]:.0f} ms"
                )
    return [Result("switch", "ms", after, _TARGET, cold, "first turn, cold", [note])]


def _there_and_back(
    client: HttpClient, system: str, bias: dict[str, float]
) -> tuple[Streamed, Streamed]:
    """Return the answers before the switches and after them."""
    first = ask_under(client, system, QUESTIONS[0], ANSWER_TOKENS, logit_bias=bias)
    for name in reversed(NAMES):
        client.post("/setModel", {"model_name": name})
    messages = [
        {"role": "system", "content": system},
        {"role": "user", "content": QUESTIONS[0]},
        {"role": "assistant", "content": first.text},
        {"role": "user", "content": QUESTIONS[1]},
    ]
    return first, client.stream(CHAT_PATH, chat_body(messages, ANSWER_TOKENS, logit_bias=bias))


def under_two_names(model: Path, folder: Path) -> Path:
    """Return a folder with the model in it as `NAMES`, linked where the disk is the same."""
    models = folder / "models"
    models.mkdir()
    for name in NAMES:
        try:
            os.link(model.resolve(), models / name)
        except OSError:
            shutil.copyfile(model, models / name)
    return models
