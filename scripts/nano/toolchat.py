"""Owns the conversations with tools: offers, calls, results, follow-ups and refusals."""

from __future__ import annotations

import json
import random
import re
from typing import Any

from . import words as w
from .chat import memory, single, system_text
from .stories import story_turn
from .toolkit import Tool, build_schema, dress, fill, parse_tool
from .tools_home import LINES as HOME
from .tools_known import LINES as KNOWN
from .tools_made import look_alikes, make_tool
from .tools_more import LINES as MORE
from .tools_work import LINES as WORK

Message = dict[str, Any]
KNOWN_LINES = [x for x in KNOWN.strip().split("\n") if x]
MORE_LINES = [x for lines in (MORE, HOME, WORK) for x in lines.strip().split("\n") if x]
NO_TOOL = ["I am sorry, I have no tool for that."]
# tools that mean nearly the same are never offered side by side
CLASHES = [{"set_led", "set_led_state"}, {"get_weather", "get_forecast"}, {"get_time"}, {"set_timer"},
           {"play_sound", "beep"}, {"set_reminder", "add_todo"}, {"take_photo"}, {"play_music", "play_song"},
           {"set_light", "turn_on_light"}, {"set_light", "turn_off_light"}, {"connect_wifi"}, {"volume_up", "set_volume"},
           {"volume_down", "mute", "set_volume"}, {"call_person", "dial_number"}, {"add_note", "write_file"},
           {"add_to_list", "add_todo"}, {"web_search", "get_news"}, {"add_event", "set_reminder"},
           {"restart", "shutdown"}, {"get_temperature", "get_weather"}, {"random_number", "roll_dice"}]
CONDITIONS = "sunny cloudy rainy snowy windy foggy clear stormy".split()


def _from_lines(lines: list[str], count: int, rng: random.Random) -> list[Tool]:
    out: list[Tool] = []
    keys: list[str] = []
    for line in rng.sample(lines, min(len(lines), count * 2)):
        key = line.split("|")[0].split(";")[0]
        if any(key in c and (set(keys) & c) for c in CLASHES) or len(out) >= count:
            continue
        keys.append(key)
        out.append(parse_tool(line, rng))
    return out


def offer(rng: random.Random) -> list[Tool]:
    """One to seven tools, of one kind or mixed, each name once."""
    count = rng.choices((1, 2, 3, 4, 5, 6, 7), (14, 20, 24, 20, 14, 5, 3))[0]
    roll = rng.random()
    if roll < 0.2:
        tools = _from_lines(KNOWN_LINES, count, rng)
    elif roll < 0.28:
        tools = _from_lines(KNOWN_LINES + MORE_LINES, count, rng)
    elif roll < 0.66:
        tools = _from_lines(MORE_LINES, count, rng)
    elif roll < 0.81:
        tools = look_alikes(rng, count)
    elif roll < 0.95:
        tools = [make_tool(rng) for _ in range(count)]
    else:
        tools = [make_tool(rng), *_from_lines(KNOWN_LINES + MORE_LINES, count, rng)][:count]
    seen: dict[str, Tool] = {}
    for t in tools:
        seen.setdefault(t.name, t)
    out = list(seen.values())
    rng.shuffle(out)
    for t in out:
        t.schema = build_schema(t, rng)
    return out


def _call(tool: Tool, args: dict[str, Any]) -> Message:
    return {"type": "function", "function": {"name": tool.name, "arguments": args}}


def _number(rng: random.Random) -> Any:
    return rng.choice([rng.randint(0, 100), rng.randint(0, 2000), round(rng.uniform(-20, 120), 1)])


def _reading(tool: Tool, args: dict[str, Any], rng: random.Random) -> tuple[str, str]:
    subject = tool.subject
    key = subject.lower().replace(" ", "_").replace("-", "_")
    if subject in ("weather", "forecast"):
        c, t = rng.choice(CONDITIONS), rng.randint(-10, 38)
        place = next((v for v in args.values() if isinstance(v, str)), None) or rng.choice(w.CITIES)
        data: dict[str, Any] = {"city": place, rng.choice(["temperature", "temp", "temperature_c", "celsius"]): t,
                                rng.choice(["condition", "weather", "sky", "description"]): c}
        if rng.random() < 0.3:
            del data["city"]
        items = list(data.items())
        rng.shuffle(items)
        if rng.random() < 0.15:
            return f"{c}, {t} degrees", f"It is {c} and {t} degrees in {place}."
        return json.dumps(dict(items)), f"It is {c} and {t} degrees in {place}."
    if subject == "time":
        v = f"{rng.randint(0, 23):02d}:{rng.randint(0, 59):02d}"
        return rng.choice([json.dumps({"time": v}), v, json.dumps({"now": v})]), f"It is {v}."
    if subject == "date":
        v = f"{rng.randint(2020, 2033)}-{rng.randint(1, 12):02d}-{rng.randint(1, 28):02d}"
        return rng.choice([json.dumps({"date": v}), v]), f"Today is {v}."
    return _plain_reading(subject, key, rng)


def _plain_reading(subject: str, key: str, rng: random.Random) -> tuple[str, str]:
    roll = rng.random()
    if roll < 0.3:
        value, unit = _number(rng), rng.choice(["C", "percent", "bar", "km", "liters", "V", "kg", "%", "points", "dB"])
        name = rng.choice([key, "value", "result", key])
        data = {name: value, "unit": unit} if rng.random() < 0.5 else {name: value}
        tail = f" {unit}" if "unit" in data else ""
        return json.dumps(data), f"The {subject} is {value}{tail}."
    if roll < 0.45:
        value = rng.choice([str(_number(rng)), rng.choice(w.TITLE_LIST), rng.choice(["ok", "good", "low", "high", "ready"])])
        return rng.choice([value, json.dumps({"result": value}), json.dumps({key: value})]), f"The {subject} is {value}."
    if roll < 0.6:
        things = [rng.choice(w.TITLE_LIST + w.TASK_LIST) for _ in range(rng.randint(1, 4))]
        text = things[0] if len(things) == 1 else ", ".join(things[:-1]) + " and " + things[-1]
        raw: Any = things if rng.random() < 0.4 else {rng.choice([key, "items", "results", "entries"]): things}
        return json.dumps(raw), f"I found {len(things)}: {text}."
    if roll < 0.65:
        return json.dumps(rng.choice([[], {"items": []}, {"results": []}])), "I found nothing."
    return generic_result(rng)


def generic_result(rng: random.Random) -> tuple[str, str]:
    """A result whose own keys and values make the sentence."""
    roll = rng.random()
    if roll < 0.3:
        s = rng.choice(w.TEXT_LIST)
        s = s[0].upper() + s[1:]
        return rng.choice([s, s + ".", json.dumps({"message": s}), json.dumps({"result": s})]), s + "."
    keys = rng.sample(w.READING_LIST + ["name", "status", "state", "mode", "color", "title", "owner", "price", "total",
                                        "duration", "city", "room", "size", "count", "year", "speed", "level"],
                      rng.choice((1, 2, 2, 3)))
    data: dict[str, Any] = {}
    for k in keys:
        if k in ("name", "owner"):
            data[k] = rng.choice(w.FIRST)
        elif k in ("city", "color", "room", "title", "status", "state", "mode", "size"):
            data[k] = rng.choice(w.CITIES if k == "city" else w.COLORS if k == "color" else w.ROOM_LIST if k == "room"
                                 else w.TITLE_LIST if k == "title" else ["open", "closed", "ready", "busy", "small",
                                                                         "large", "auto", "idle", w.made_word(rng)])
        else:
            data[k.replace(" ", "_")] = _number(rng)
    parts = [f"the {k.replace('_', ' ')} is {v}" for k, v in data.items()]
    text = parts[0] if len(parts) == 1 else ", ".join(parts[:-1]) + " and " + parts[-1]
    return json.dumps(data, indent=rng.choice([None, None, None, 2])), text[0].upper() + text[1:] + "."


ERRORS = """device offline;not found;timeout;no connection;permission denied;unknown city;invalid value;out of range;
busy;low battery;wrong password;service not available;disk full;no such file;sensor not ready;limit reached"""
ERROR_LIST = [e.strip() for e in ERRORS.replace("\n", "").split(";")]


def result_of(tool: Tool, args: dict[str, Any], rng: random.Random) -> tuple[str, str]:
    """A tool's result and the sentence that tells it to the user."""
    roll = rng.random()
    if roll < 0.06:
        e = rng.choice(ERROR_LIST)
        raw = rng.choice([json.dumps({"error": e}), json.dumps({"ok": False, "error": e}), f"Error: {e}",
                          json.dumps({"status": "error", "message": e})])
        return raw, f"I am sorry, that did not work: {e}."
    if tool.result == "reading":
        return _reading(tool, args, rng)
    if roll < 0.16:
        return generic_result(rng)
    flags: list[Any] = [{"ok": True}, {"status": "ok"}, {"success": True}, {"result": "done"}, {"status": "success"},
                        {"done": True}, {"ok": True, **args}, {"status": "ok", **args}, {**args, "success": True}]
    done = rng.choice(tool.done).rstrip(".")
    raw = rng.choice(["ok", "done", "OK", "success", "true"]) if rng.random() < 0.25 else json.dumps(
        rng.choice(flags), ensure_ascii=False)
    return raw, done + "."


def _follow(tool: Tool, args: dict[str, Any], rng: random.Random) -> tuple[str, dict[str, Any]] | None:
    usable = [p for p in tool.params if p.name in args and not p.boolean]
    if not usable:
        return None
    p = rng.choice(usable)
    said, value = p.kind.make(rng)
    if value == args[p.name]:
        return None
    form = rng.choice(["and {x}?", "what about {x}?", "now {x}", "now {x} please", "make it {x}", "and now {x}",
                       "how about {x}?", "the same with {x}", "no, {x}", "do it again with {x}", "change it to {x}"])
    text = form.format(x=said)
    if rng.random() < 0.8:
        text = text[0].upper() + text[1:]
    return text, {**args, p.name: value}


def _clash(tool: Tool, tools: list[Tool]) -> bool:
    stop = {"set", "get", "list", "the", "of", "start", "stop", "add", "new", "show", "find", "to", "a"}

    def bag(t: Tool) -> set[str]:
        return set(re.findall(r"[a-z]+", (t.name + " " + t.desc).lower())) - stop

    mine = bag(tool)
    return any(len(mine & bag(t)) > 1 for t in tools)


def _foreign(tools: list[Tool], rng: random.Random) -> str | None:
    other = make_tool(rng) if rng.random() < 0.35 else parse_tool(rng.choice(KNOWN_LINES + MORE_LINES), rng)
    if _clash(other, tools):
        return None
    return dress(fill(other, rng.choice(other.asks), rng)[0], rng)


def _exchange(tools: list[Tool], rng: random.Random, last: bool, used: set[str]) -> list[Message]:
    tool = rng.choice([t for t in tools if t.name not in used] or tools)
    used.add(tool.name)
    text, args = fill(tool, rng.choice(tool.asks), rng)
    out: list[Message] = [{"role": "user", "content": dress(text, rng)}]
    pairs = [(tool, args)]
    if len(tools) > 1 and rng.random() < 0.06:
        other = rng.choice([t for t in tools if t is not tool])
        more, args2 = fill(other, rng.choice(other.asks), rng)
        joined = text.rstrip("?") + rng.choice([" and ", " and then ", ", and "]) + more.rstrip("?")
        out = [{"role": "user", "content": dress(joined, rng)}]
        pairs.append((other, args2))
    while True:
        out.append({"role": "assistant", "content": None, "tool_calls": [_call(t, a) for t, a in pairs]})
        if rng.random() < (0.7 if last else 0.55):  # the client need not send a result
            return out
        said = []
        for t, a in pairs:
            raw, sentence = result_of(t, a, rng)
            out.append({"role": "tool", "content": raw})
            said.append(sentence)
        out.append({"role": "assistant", "content": " ".join(said)})
        follow = _follow(tool, args, rng) if len(pairs) == 1 and rng.random() < 0.14 else None
        if not follow:
            return out
        out.append({"role": "user", "content": follow[0]})
        args = follow[1]
        pairs = [(tool, args)]


def conversation(rng: random.Random, limit: int = 6) -> tuple[list[Message], list[dict[str, Any]]]:
    """A conversation with tools on offer."""
    tools = offer(rng)
    system = system_text(rng)
    out: list[Message] = [{"role": "system", "content": system}] if system else []
    count = rng.randint(1, limit)
    used: set[str] = set()
    for i in range(count):
        roll = rng.random()
        if roll < 0.76:
            out += _exchange(tools, rng, i == count - 1, used)
            continue
        if roll < 0.9:
            ask = _foreign(tools, rng)
            turns = [(ask, NO_TOOL[0])] if ask else []
        elif roll < 0.91:
            turns = memory(rng)
        elif roll < 0.912 and i == count - 1:
            turns = [story_turn(rng)]
        else:
            turns = single(rng)[:1]
        for user, answer in turns:
            out += [{"role": "user", "content": user}, {"role": "assistant", "content": answer}]
    if not any(m["role"] == "assistant" for m in out):
        out += _exchange(tools, rng, True, used)
    return out, [t.schema for t in tools]
