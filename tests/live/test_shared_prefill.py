"""Clients that come at the same moment with the same new head have it prefilled once."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from tests.live.server import LiveServer, user
from tests.live.test_prompt_cache import RULES, ask, cached

N_CLIENTS = 4
# Small steps, so that all are there before the head is.
ARGUMENTS = ("--parallel", str(N_CLIENTS), "--n-ctx", "2048", "--n-batch", "32")


def test_clients_with_one_new_head_prefill_it_once() -> None:
    head = {"role": "system", "content": RULES}
    with LiveServer(*ARGUMENTS) as live:
        live.wait_healthy()
        ready = threading.Barrier(N_CLIENTS)

        def client(number: int) -> dict[str, Any]:
            ready.wait()
            return ask(live, [head, user(f"What is the capital of country {number}?")])

        with ThreadPoolExecutor(N_CLIENTS) as clients:
            answers = list(clients.map(client, range(N_CLIENTS)))
    n_prompt = max(answer["usage"]["prompt_tokens"] for answer in answers)
    n_prefilled = sum(answer["usage"]["prompt_tokens"] - cached(answer) for answer in answers)
    assert n_prompt > 350
    assert n_prefilled < n_prompt + N_CLIENTS * 30
