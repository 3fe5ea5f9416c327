"""Owns the tool object of the generator: its JSON schema, its requests and their arguments."""

from __future__ import annotations

import random
import re
from dataclasses import dataclass, field
from typing import Any

from .values import ENUMS, KINDS, Kind, enum_kind, expand


@dataclass
class Param:
    """One parameter of a tool."""

    name: str
    kind: Kind
    desc: str
    required: bool
    boolean: bool = False


@dataclass
class Tool:
    """One tool offered to the model, with the ways to ask for it."""

    name: str
    desc: str
    params: list[Param]
    asks: list[str]
    done: list[str]
    result: str = "action"
    subject: str = ""
    follow: list[str] = field(default_factory=list)
    schema: dict[str, Any] = field(default_factory=dict)

    def param(self, name: str) -> Param:
        """Find a parameter by its name."""
        return next(p for p in self.params if p.name == name)


BOOL_KIND = Kind(["on"], ["On or off"], "boolean", lambda r: ("", r.random() < 0.5), ["{p}"])


def _param_schema(p: Param, rng: random.Random, brief: bool) -> dict[str, Any]:
    out: dict[str, Any] = {"type": "boolean" if p.boolean else p.kind.type}
    if p.kind.enum and not p.boolean:
        out["enum"] = list(p.kind.enum)
    if not brief or rng.random() < 0.15:
        out["description"] = p.desc
        if not p.boolean and rng.random() < 0.1:
            shown = p.kind.make(rng)[1]
            out["description"] += rng.choice([f", e.g. {shown}", f" (for example {shown})", f", like {shown}"])
    if not p.required and not p.boolean and rng.random() < 0.06:
        out["default"] = p.kind.make(rng)[1]
    if p.kind.lo is not None and rng.random() < 0.25:
        out["minimum"], out["maximum"] = p.kind.lo, p.kind.hi
    if len(out) > 2 and rng.random() < 0.3:
        keys = list(out)
        rng.shuffle(keys)
        out = {k: out[k] for k in keys}
    return out


def build_schema(tool: Tool, rng: random.Random) -> dict[str, Any]:
    """The OpenAI tool object, with the key orders and extras that clients use."""
    brief = rng.random() < 0.25
    props = {p.name: _param_schema(p, rng, brief) for p in tool.params}
    params: dict[str, Any] = {"type": "object", "properties": props}
    needed = [p.name for p in tool.params if p.required]
    if needed or rng.random() < 0.5:
        params["required"] = needed
    if rng.random() < 0.08:
        params["additionalProperties"] = False
    fn: dict[str, Any] = {"name": tool.name, "description": tool.desc, "parameters": params}
    if not tool.params and rng.random() < 0.15:
        del fn["parameters"]
    if rng.random() < 0.06:
        fn["strict"] = rng.random() < 0.5
    if rng.random() < 0.08:
        keys = list(fn)
        rng.shuffle(keys)
        fn = {k: fn[k] for k in keys}
    if rng.random() < 0.05:
        return {"function": fn, "type": "function"}
    return {"type": "function", "function": fn}


_SLOT = re.compile(r"\{(\w+)(?::([^{}/]*)/([^{}]*))?\}")


def fill(tool: Tool, ask: str, rng: random.Random) -> tuple[str, dict[str, Any]]:
    """Turn a request template into the user's words and the arguments they mean."""
    args: dict[str, Any] = {}
    fixed = re.findall(r"<(\w+)=([^>]*)>", ask)
    ask = re.sub(r"\s*<\w+=[^>]*>", "", ask)
    for key, raw in fixed:
        p = tool.param(key)
        if p.boolean:
            args[key] = raw == "true"
        elif p.kind.type in ("integer", "number"):
            args[key] = float(raw) if "." in raw else int(raw)
        else:
            args[key] = raw

    def put(m: re.Match[str]) -> str:
        p = tool.param(m.group(1))
        if p.boolean:
            value = rng.random() < 0.5
            args[p.name] = value
            return (m.group(2) or "") if value else (m.group(3) or "")
        said, value = p.kind.make(rng)
        args[p.name] = value
        return said

    text = _SLOT.sub(put, expand(ask, rng))
    return text, {p.name: args[p.name] for p in tool.params if p.name in args}


def parse_tool(line: str, rng: random.Random) -> Tool:
    """Read one line `names;descs;params;asks;done` of a hand-written table."""
    names, descs, params, asks, done = (part.strip() for part in line.split(";"))
    listed: list[Param] = []
    for spec in params.split():
        required = spec.endswith("!")
        pname, _, kname = spec.rstrip("!").partition(":")
        if kname.startswith("enum="):
            kind = enum_kind(pname, kname[5:].split(","))
        elif kname == "bool":
            kind = BOOL_KIND
        else:
            kind = KINDS[kname]
        desc = rng.choice(kind.descs)
        listed.append(Param(pname, kind, desc, required, kname == "bool"))
    tool = Tool(
        rng.choice(names.split("|")), rng.choice(descs.split("|")), listed,
        [a.strip() for a in asks.split(" || ")], [d.strip() for d in done.split("|")],
    )
    if tool.done[0].startswith("="):
        tool.result = "reading"
        tool.subject = tool.done[0][1:].strip()
    return rename(tool, rng)


def rename(tool: Tool, rng: random.Random) -> Tool:
    """Give some parameters another of their usual names, and the tool another style of name."""
    used = {p.name for p in tool.params}
    for p in tool.params:
        if rng.random() < 0.2:
            new = compound(p.name, rng)
        elif p.boolean or p.kind.enum or rng.random() > 0.35:
            continue
        else:
            new = rng.choice(p.kind.names)
        if new in used:
            continue
        used.add(new)
        tool.asks = [
            re.sub(rf"<{p.name}=", f"<{new}=", re.sub(rf"\{{{p.name}([:}}])", rf"{{{new}\1", a))
            for a in tool.asks
        ]
        p.name = new
    tool.name = style(tool.name, rng)
    return tool


_BEFORE = ["target", "new", "my", "the", "device", "item", "user", "wanted", "main", "first", "given", "set", "x"]
_AFTER = ["value", "name", "number", "m", "cm", "s", "id", "input", "text", "to_use", "wanted", "no", "arg", "field"]


def compound(name: str, rng: random.Random) -> str:
    """A name of two words, which can only be read from the offer."""
    return f"{rng.choice(_BEFORE)}_{name}" if rng.random() < 0.5 else f"{name}_{rng.choice(_AFTER)}"


_PREFIXES = ["home", "device", "app", "my", "system", "office", "do", "smart", "api", "please", "tool", "house"]
_SUFFIXES = ["now", "tool", "action", "command", "2", "for_user", "request", "function"]


def style(name: str, rng: random.Random) -> str:
    """Mostly snake_case; at times camelCase, kebab-case or with a prefix."""
    roll = rng.random()
    parts = name.split("_")
    if roll < 0.07:
        return parts[0] + "".join(p.capitalize() for p in parts[1:])
    if roll < 0.11:
        return "-".join(parts)
    if roll < 0.17:
        return f"{rng.choice(_PREFIXES)}_{name}"
    if roll < 0.2:
        return f"{name}_{rng.choice(_SUFFIXES)}"
    return name


_LEADS = ["", "", "", "", "", "", "please ", "please ", "hey, ", "now ", "ok, ", "hi, ", "assistant, "]
_ASKS = ["can you ", "could you ", "could you please ", "can you please ", "would you ", "will you "]
_WANTS = ["i want you to ", "i would like you to ", "i need you to ", "go ahead and ", "let's ",
          "it is time to ", "i'd like to ", "i want to ", "i need to ", "be so kind and ", "help me "]
_ENDS = ["", "", "", "", "", " please", ", please", " now", " for me", " right now", ", thanks", " again"]


def dress(text: str, rng: random.Random) -> str:
    """Put a bare request into one of the forms people use."""
    roll = rng.random()
    question = text.endswith("?")
    bare = text.split()[0] in ("I", "we", "it", "the", "at", "is", "am", "there", "no", "what", "how", "it's", "on")
    if question or bare or roll < 0.1 or text.endswith("!"):
        out = rng.choice(["", "", "", "hey, ", "hello, ", "ok, "]) + text
        out += "" if question else rng.choice(["", ".", ".", "!"])
    elif roll < 0.3:
        out = rng.choice(_ASKS) + text + rng.choice(["", "", "", " please", " for me"]) + "?"
    elif roll < 0.42:
        out = rng.choice(_WANTS) + text + rng.choice([".", ".", ""])
    else:
        out = rng.choice(_LEADS) + text + rng.choice(_ENDS) + rng.choice([".", ".", "", "!"])
    if rng.random() < 0.85:
        out = out[0].upper() + out[1:]
        out = re.sub(r"^I would|^i would", "I would", out)
    return re.sub(r"\s+", " ", out).replace(" ,", ",").replace(" :", ":").strip()


def random_enum(rng: random.Random) -> tuple[str, Kind]:
    """A parameter with a closed list, from the table or invented."""
    name, options, tail = rng.choice(ENUMS)
    chosen = options.split()
    if rng.random() < 0.3:
        from .words import made_word

        chosen = [made_word(rng) for _ in range(rng.randint(2, 4))]
        tail = rng.choice([f"with {name} {{p}}", f"in {{p}} {name}", "{p}"])
    elif rng.random() < 0.5:
        rng.shuffle(chosen)
    return name, enum_kind(name, chosen, tail)
