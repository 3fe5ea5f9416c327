"""Owns the evaluation: runs a GGUF file greedily through llama.cpp over the prompt sets."""

from __future__ import annotations

import argparse
import json
import re
from pathlib import Path
from typing import Any

from .template import render

CALL = re.compile(r"<tool_call>\s*(.*?)\s*</tool_call>", re.DOTALL)


def calls_in(text: str) -> list[dict[str, Any]] | None:
    """The tool calls of an answer; None where one is not valid JSON."""
    try:
        return [json.loads(c) for c in CALL.findall(text)]
    except json.JSONDecodeError:
        return None


def matches(call: dict[str, Any], want: dict[str, Any]) -> bool:
    """Whether a call has the wanted name and one of the wanted arguments."""
    accepted = want["arguments_any"] if "arguments_any" in want else [want["arguments"]]
    return call.get("name") == want["name"] and call.get("arguments") in accepted


def passed(text: str, tokens: int, expect: dict[str, Any]) -> bool:
    """Whether an answer is what the prompt set expects."""
    calls = calls_in(text)
    if calls is None:
        return False
    if "tool_calls" in expect:
        wanted = expect["tool_calls"]
        return len(calls) == len(wanted) and all(map(matches, calls, wanted))
    if calls:
        return False
    if tokens < expect.get("min_tokens", 0):
        return False
    return all(part.lower() in text.lower() for part in expect.get("contains", []))


def answer(llm: Any, item: dict[str, Any], limit: int) -> tuple[str, int]:
    """The greedy answer to one item and its number of tokens."""
    prompt = render(item["messages"], item.get("tools"), add_generation_prompt=True)
    ids = llm.tokenize(prompt.encode("utf-8"), add_bos=False, special=True)
    out: list[int] = []
    for token in llm.generate(ids, temp=0.0, repeat_penalty=1.0):
        if token == llm.token_eos() or len(out) >= limit:
            break
        out.append(token)
    return llm.detokenize(out, special=True).decode("utf-8", errors="replace"), len(out)


def run_set(llm: Any, path: Path, verbose: bool) -> tuple[int, int, int]:
    """Run one set: how many passed, of how many, and how many called the right tool."""
    items = json.loads(path.read_text(encoding="utf-8"))
    good = named = 0
    for item in items:
        text, tokens = answer(llm, item, 900 if "min_tokens" in item["expect"] else 160)
        ok = passed(text, tokens, item["expect"])
        good += ok
        calls = calls_in(text) or []
        wanted = item["expect"].get("tool_calls", [])
        named += [c.get("name") for c in calls] == [w["name"] for w in wanted]
        if verbose and not ok:
            print(f"  {item['id']}: {item['messages'][-1]['content']!r}\n    want "
                  f"{json.dumps(item['expect'], ensure_ascii=False)}\n    got  {text[:300]!r}")
    return good, len(items), named


def main() -> None:
    """Parse the command line, run the sets and print a table."""
    ap = argparse.ArgumentParser(description="evaluate a GGUF file on the prompt sets")
    ap.add_argument("model", type=Path)
    ap.add_argument("sets", type=Path, nargs="+", help="JSON files of prompts")
    ap.add_argument("--threads", type=int, default=2)
    ap.add_argument("--verbose", action="store_true", help="show what failed")
    args = ap.parse_args()
    from llama_cpp import Llama

    llm = Llama(str(args.model), n_ctx=2048, n_threads=args.threads, n_threads_batch=args.threads, verbose=False)
    print("| set | exact | prompts | share | right tool |\n| --- | ---: | ---: | ---: | ---: |")
    for path in args.sets:
        good, count, named = run_set(llm, path, args.verbose)
        print(f"| {path.stem} | {good} | {count} | {good / count:.0%} | {named / count:.0%} |", flush=True)


if __name__ == "__main__":
    main()
