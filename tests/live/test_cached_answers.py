"""An answer is the same whether its prompt was cached, wherever it was, or not."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

from tests.live.server import LiveServer, user
from tests.live.test_prompt_cache import LED, ask, disk

N_TALKS = 34
PLACES = ["France", "Spain", "Italy", "Japan", "Egypt", "Peru", "Norway", "Kenya", "Cuba", "Chile"]
ASKED = ["What is the capital of {}?", "Tell me about {}.", "Is {} far away?", "Hello from {}!"]
WISHES = ["Turn the LED {}.", "Make the LED {} please", "I want a {} light", "LED {}"]
COLORS = ["green", "blue", "red", "white", "yellow"]
RULES = ["Keep it short.", "Be polite.", "You live in a box.", "Never shout.", "Answer in English."]

Talk = list[dict[str, Any]]


def talks(dice: random.Random) -> list[Talk]:
    """Return conversations of which many begin alike."""
    heads = [" ".join(dice.sample(RULES, 3)) for _ in range(5)]
    made = []
    for _ in range(N_TALKS):
        wish = dice.choice(ASKED).format(dice.choice(PLACES))
        if dice.random() < 0.5:
            wish = dice.choice(WISHES).format(dice.choice(COLORS))
        made.append([{"role": "system", "content": dice.choice(heads)}, user(wish)])
    return made


def said(live: LiveServer, talk: Talk) -> dict[str, Any]:
    """Return the answer, without what no two calls have in common."""
    answer = ask(live, talk, tools=[LED], max_tokens=20)
    message: dict[str, Any] = answer["choices"][0]["message"]
    for call in message.get("tool_calls") or []:
        call["id"] = "call"
    return {"message": message, "tier": answer["timings"]["tier"], "usage": answer["usage"]}


def forget(live: LiveServer) -> None:
    assert live.http.delete("/cache").status_code == 200


def test_a_cached_prompt_is_answered_as_a_cold_one(tmp_path: Path) -> None:
    dice = random.Random(4)
    first = talks(dice)
    arguments = ("--cache-dir", str(tmp_path), "--disk-save-after-s", "0")
    cold: dict[str, Any] = {}
    both: list[Talk] = []
    with LiveServer(*arguments) as live:
        live.wait_healthy()
        for talk in first:  # two turns each, cold
            forget(live)
            reply = said(live, talk)
            assert reply["tier"] == "none"
            second = [*talk, reply["message"], user(dice.choice(ASKED).format(dice.choice(PLACES)))]
            for asked, at in ((talk, reply), (second, None)):
                if at is None:
                    forget(live)
                cold[str(asked)] = (at or said(live, asked))["message"]
            both += [talk, second]
        forget(live)
        tiers = {"none": 0, "memory": 0, "disk": 0}
        n_cases = 0
        for _ in range(2):  # memory: the same prompt, a shared beginning, the turn before
            for asked in dice.sample(both, len(both)):
                reply = said(live, asked)
                tiers[reply["tier"]] += 1
                assert reply["message"] == cold[str(asked)], asked
                n_cases += 1
        live.wait_until(lambda: not disk(live)["waiting"])
    with LiveServer(*arguments, "--idle-cache-mb", "0") as live:
        live.wait_healthy()
        for asked in dice.sample(both, len(both)):
            reply = said(live, asked)
            tiers[reply["tier"]] += 1
            assert reply["message"] == cold[str(asked)], asked
            n_cases += 1
    assert n_cases >= 200
    assert tiers["memory"] >= 60
    assert tiers["disk"] >= 20
