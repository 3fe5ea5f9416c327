"""Conversations of the soak begin alike, and only what is beyond doubt of an answer counts."""

from __future__ import annotations

import httpx

from scripts.fault_trials.questions import talks


def test_the_same_seed_gives_the_same_conversations_and_each_goes_on_from_another() -> None:
    first = talks(1)
    assert first.bodies == talks(1).bodies != talks(2).bodies
    one, two, three = (body["messages"] for body in first.bodies[:3])
    assert two[: len(one)] == one
    assert three[: len(two)] == two


def test_an_answer_is_known_up_to_the_first_token_in_doubt() -> None:
    def entry(token: str, second: float) -> dict[str, object]:
        likeliest = [{"logprob": -0.1}, {"logprob": second}]
        return {"token": token, "top_logprobs": likeliest}

    listed = [entry("7", -3.0), entry("0", -2.0), entry("4", -0.2), entry("1", -5.0)]
    choice = {"message": {"content": "7041"}, "logprobs": {"content": listed}}
    transport = httpx.MockTransport(lambda _: httpx.Response(200, json={"choices": [choice]}))
    known = talks(1)
    del known.bodies[2:]
    with httpx.Client(transport=transport, base_url="http://server") as client:
        known.learn(client, "a.gguf")
    assert known.begins == {"a.gguf": ["70", "70"]}
