"""What was prefilled once is not prefilled again: after a restart, a crash, a switch."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.live.server import MODELS, NANO, LiveServer, user

RULES = "You are a helpful assistant. " + " ".join(
    f"Rule {number}: be polite to guest number {number}." for number in range(24)
)
SYSTEM = {"role": "system", "content": RULES}
LED = {
    "type": "function",
    "function": {
        "name": "set_led",
        "description": "Set the color of the LED.",
        "parameters": {
            "type": "object",
            "properties": {"color": {"type": "string", "description": "Color"}},
            "required": ["color"],
        },
    },
}


def ask(live: LiveServer, messages: list[dict[str, Any]], **fields: Any) -> dict[str, Any]:
    body = {"messages": messages, "temperature": 0, "max_tokens": 24, **fields}
    response = live.http.post("/v1/chat/completions", json=body)
    assert response.status_code == 200, response.text
    answer: dict[str, Any] = response.json()
    return answer


def cached(answer: dict[str, Any]) -> int:
    n_cached: int = answer["usage"]["prompt_tokens_details"]["cached_tokens"]
    return n_cached


def disk(live: LiveServer) -> dict[str, Any]:
    tier: dict[str, Any] = live.http.get("/cache").json()["tiers"]["disk"]
    return tier


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "cache"


def serve(folder: Path, *arguments: str) -> LiveServer:
    return LiveServer("--cache-dir", str(folder), "--disk-save-after-s", "0", *arguments)


def test_a_restored_prompt_survives_a_power_cut(folder: Path) -> None:
    with serve(folder) as live:
        live.wait_healthy()
        body = {"messages": [SYSTEM], "tools": [LED]}
        first = live.http.post("/restore_cache", json=body).json()
        assert (first["tier"], first["cached_tokens"], first["saved"]) == ("none", 0, True)
        again = live.http.post("/restore_cache", json=body).json()
        assert (again["tier"], again["saved"]) == ("memory", True)
        assert again["cached_tokens"] == again["prompt_tokens"] == first["prompt_tokens"]
        assert disk(live)["saves"] == 1, "nothing is written twice"
        live.kill()
    with serve(folder) as live:
        live.wait_healthy()
        answer = ask(live, [SYSTEM, user("What is the capital of France?")], tools=[LED])
        assert answer["timings"]["tier"] == "disk"
        assert cached(answer) == first["prompt_tokens"]
        assert "Paris" in answer["choices"][0]["message"]["content"]


def test_what_is_hot_at_sigterm_is_warm_at_the_next_start(folder: Path) -> None:
    messages = [SYSTEM, user("What is the capital of France?")]
    with serve(folder, "--disk-save-after-s", "3600") as live:
        live.wait_healthy()
        before = ask(live, messages)
        assert disk(live)["entries"] <= 1, "at most the instructions"
        live.stop()
    with serve(folder) as live:
        live.wait_healthy()
        messages += [before["choices"][0]["message"], user("What is the capital of Spain?")]
        after = ask(live, messages)
        assert after["timings"]["tier"] == "disk"
        assert cached(after) >= before["usage"]["total_tokens"] - 1
        assert "Madrid" in after["choices"][0]["message"]["content"]


def test_a_conversation_goes_on_warm_after_a_switch_there_and_back(
    folder: Path, tmp_path: Path
) -> None:
    models = tmp_path / "models"
    models.mkdir()
    for name in (NANO, "other.gguf"):
        shutil.copy(MODELS / NANO, models / name)
    with serve(folder, "--models-dir", str(models), "--model-name", NANO) as live:
        live.wait_healthy()
        messages = [SYSTEM, user("What is the capital of France?")]
        first = ask(live, messages)
        ask(live, messages, model="other.gguf")
        messages += [first["choices"][0]["message"], user("What is the capital of Japan?")]
        back = ask(live, messages, model=NANO)
        assert back["timings"]["tier"] == "disk"
        assert cached(back) >= first["usage"]["total_tokens"] - 1


def turns() -> Iterator[str]:
    for name in ("France", "Spain", "Italy", "Japan", "Egypt"):
        yield f"What is the capital of {name}?"
        yield "Turn the LED green."
        yield "Now make the LED blue, please."
        yield f"Tell me about {name}."


def test_every_turn_of_a_conversation_with_tools_finds_the_ones_before(folder: Path) -> None:
    """The client writes the calls' JSON its own way, as clients do."""
    n_calls = 0
    with serve(folder, "--n-ctx", "2048") as live:
        live.wait_healthy()
        messages: list[dict[str, Any]] = [{"role": "system", "content": "Be helpful."}]
        n_history = 0
        for said in turns():
            messages.append(user(said))
            answer = ask(live, messages, tools=[LED], max_tokens=16)
            assert cached(answer) >= n_history - 16, said
            n_history = answer["usage"]["total_tokens"]
            message = answer["choices"][0]["message"]
            messages.append(message)
            for call in message.get("tool_calls") or []:
                n_calls += 1
                arguments = json.loads(call["function"]["arguments"])
                call["function"]["arguments"] = json.dumps(arguments, indent=2)
                result = {"role": "tool", "tool_call_id": call["id"], "content": '{"ok": true}'}
                messages.append(result)
    assert n_calls


def test_an_explanation_shows_where_the_prompt_left_the_cached_one(folder: Path) -> None:
    def prompt(day: str) -> list[dict[str, Any]]:
        return [{"role": "system", "content": f"Today is {day}. {RULES}"}, user("Hello")]

    with serve(folder) as live:
        live.wait_healthy()
        ask(live, prompt("Monday"))
        told = ask(live, prompt("Friday"), explain_cache=True)["cache"]
        parting = told["first_difference"]
        assert "Today is" in parting["before"]
        assert "riday" in parting["prompt"]
        assert "onday" in parting["cached"]
        assert told["matched_tokens"] >= told["cached_tokens"]
        again = ask(live, prompt("Friday"), explain_cache=True)["cache"]
        assert again["first_difference"] is None
        n_known = again["prompt_tokens"] - 1
        assert (again["matched_tokens"], again["cached_tokens"]) == (n_known, n_known)
        assert again["not_restored"] is None


def test_what_is_cached_is_told_by_tier_and_kind(folder: Path) -> None:
    with serve(folder) as live:
        live.wait_healthy()
        n_prompt = live.http.post("/restore_cache", json={"messages": [SYSTEM]}).json()[
            "prompt_tokens"
        ]
        body = live.http.get("/cache").json()
        assert (body["layout"], body["layout_message"]) == ("blocks", "")
        (entry,) = body["entries"]
        assert (entry["kind"], entry["start"], entry["tokens"]) == ("block", 0, n_prompt)
        tier = body["tiers"]["disk"]
        assert (tier["blocks"], tier["block_bytes"]) == (1, entry["bytes"])
        assert (tier["states"], tier["state_bytes"]) == (0, 0)
        ask(live, [user("Hello")])  # and the instructions leave the KV cache
        memory = live.http.get("/cache").json()["tiers"]["memory"]
        assert memory["blocks"] == memory["entries"] >= 1
        assert memory["block_bytes"] == memory["bytes"] > 0
        metrics = live.http.get("/metrics").text
        gauge = 'distiller_llm_cache_entries{kind="block",tier="disk"}'
        assert f"{gauge} {float(disk(live)['blocks'])}" in metrics


def test_clearing_the_cache_makes_the_next_prompt_cold(folder: Path) -> None:
    messages = [SYSTEM, user("What is the capital of France?")]
    with serve(folder) as live:
        live.wait_healthy()
        ask(live, messages)
        live.wait_until(lambda: disk(live)["entries"] > 0 and not disk(live)["waiting"])
        cleared = live.http.delete("/cache").json()
        assert cleared["entries"] >= 1
        assert disk(live)["entries"] == 0
        assert not list(folder.rglob("*.kv"))
        assert ask(live, messages)["timings"]["tier"] == "none"


def test_a_second_service_goes_on_without_the_folder(folder: Path) -> None:
    with serve(folder) as first, serve(folder) as second:
        first.wait_healthy()
        second.wait_healthy()
        states = sorted(disk(live)["state"] for live in (first, second))
        assert states == ["ok", "refused"]
        for live in (first, second):
            assert "Paris" in str(live.chat("What is the capital of France?"))


def test_a_profile_is_ready_before_the_service_is(folder: Path, tmp_path: Path) -> None:
    settings = tmp_path / "settings.toml"
    profile = (
        f'[[profiles]]\nname = "house"\nmessages = [{{role = "system", content = "{RULES}"}}]\n'
    )
    settings.write_text(profile)
    for tier in ("memory", "disk"):  # read once, then brought back from disk
        with serve(folder, "--config", str(settings)) as live:
            live.wait_healthy()
            assert live.health["profiles"] == [{"name": "house", "state": "ready", "message": ""}]
            entries = live.http.get("/cache").json()["entries"]
            told = {(entry["role"], entry["profile"]) for entry in entries}
            assert told == {("profile", "house")}
            misses = live.http.get("/cache").json()["misses"]
            assert bool(misses) == (tier == "memory")
            answer = ask(live, [SYSTEM, user("What is the capital of France?")])
            assert answer["timings"]["tier"] == "memory"
            assert cached(answer) > 300
            live.kill()


def test_entries_that_were_damaged_are_a_miss_and_gone(folder: Path) -> None:
    with serve(folder) as live:
        live.wait_healthy()
        live.http.post("/restore_cache", json={"messages": [SYSTEM]})
        live.kill()
    (entry,) = folder.rglob("*.kv")
    data = bytearray(entry.read_bytes())
    data[-1000] ^= 1
    entry.write_bytes(data)
    with serve(folder) as live:
        live.wait_healthy()
        messages = [SYSTEM, user("What is the capital of France?")]
        answer = ask(live, messages, explain_cache=True)
        assert answer["timings"]["tier"] == "none"
        assert answer["cache"]["not_restored"] == "corrupt"
        assert answer["cache"]["matched_tokens"] > 300
        assert "Paris" in answer["choices"][0]["message"]["content"]
        report = live.http.get("/cache").json()
        assert (report["misses"], report["not_restored"]) == ({"not_restored": 1}, {"corrupt": 1})
        assert not entry.exists() or entry.read_bytes() != bytes(data)
        live.wait_until(lambda: disk(live)["bad_entries"] == 1)
        assert sum("cannot be used" in line["text"] for line in live.log("engine_log")) == 1
