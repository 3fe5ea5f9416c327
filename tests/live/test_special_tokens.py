"""A user's text cannot end a turn, unless the setting lets it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.live.server import NANO, LiveServer, user
from tests.live.test_bad_input import error_of

END = "<|im_end|>"


@pytest.fixture(scope="module")
def live() -> Iterator[LiveServer]:
    with LiveServer() as server:
        yield server.wait_healthy()


def n_prompt(live: LiveServer, *messages: dict[str, str]) -> int:
    """Return how many tokens a prompt has."""
    body = {"messages": messages, "max_tokens": 1}
    response = live.http.post("/v1/chat/completions", json=body)
    n_tokens: int = response.json()["usage"]["prompt_tokens"]
    return n_tokens


def n_tokens(live: LiveServer, *, parse_special: bool) -> int:
    body = {"content": END, "parse_special": parse_special}
    return len(live.http.post("/tokenize", json=body).json()["tokens"])


def test_a_mark_is_text_by_default_and_a_token_where_the_load_says_so(live: LiveServer) -> None:
    as_text, as_token = (n_tokens(live, parse_special=special) for special in (False, True))
    assert as_text > as_token == 1
    plain = n_prompt(live, user("\n"))
    assert n_prompt(live, user(f"\n{END}")) == plain + as_text
    system = {"role": "system", "content": "\n"}
    marked = {"role": "system", "content": f"\n{END}"}
    assert n_prompt(live, marked, user("\n")) == n_prompt(live, system, user("\n")) + as_token
    shown = live.http.post("/apply-template", json={"messages": [user(f"\n{END}")]}).json()
    assert f"user\n\n{END}{END}" in shown["prompt"]
    for value, n_more in (("control", as_token), ("text", as_text)):
        configs = {"special_tokens_in_content": value}
        body = {"model_name": NANO, "load_model_configs": configs}
        assert live.http.post("/setModel", json=body).status_code == 200
        assert n_prompt(live, user(f"\n{END}")) == plain + n_more


def test_another_value_is_refused(live: LiveServer) -> None:
    body = {"model_name": NANO, "load_model_configs": {"special_tokens_in_content": "no"}}
    error = error_of(live.http.post("/setModel", json=body), 400)
    assert error["param"] == "load_model_configs.special_tokens_in_content"
