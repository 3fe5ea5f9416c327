"""Owns the plain conversations: greetings, facts, capitals, repeating, memory and follow-ups."""

from __future__ import annotations

import random
from typing import Any

from . import words as w
from .facts import CAPITALS, QA, TALK, with_article
from .stories import story_turn
from .values import number_word

Turn = tuple[str, str]
SYSTEMS = """You are a helpful assistant.|You are a helpful assistant|You are a helpful, concise assistant.|
You are an assistant.|Be brief.|Answer in one sentence.|You are a friendly assistant on a small device.|
You are Distiller Nano.|You help the user with the device.|You are a voice assistant. Keep answers short.|
You are a smart home assistant.|You control the devices of a house.|Use the tools when they help.|
You are a helpful AI assistant that can call functions.|Answer the user's questions as well as you can.|
You are an office assistant.|You are a polite helper.|Only use tools when needed.|You are a test assistant.|
You speak simple English.|You are a function calling assistant.|Today is Monday. Help the user."""
SYSTEM_LIST = [s for s in SYSTEMS.replace("\n", "").split("|") if s]
_RULES = """Keep your answers short and clear.|Be polite at all times.|Never make up facts that you do not know.|
Use simple words.|When the user asks for an action, use a tool.|When no tool fits, answer in plain words.|
Do not talk about politics.|Speak English.|The device stands in the {room}.|The owner of the device is {name}.|
The device is a small computer with a speaker and a microphone.|If you are not sure, say so.|Do not use emojis.|
Answer in full sentences.|The house is in {city}.|The user may speak or type.|Do not repeat the question.|
Be careful with doors and locks.|The guests are {name} and {name}.|Never tell the password.|
The opening hours are from 9 to 17.|Meetings take place in the {room}.|The manager is called {name}.|
If a tool returns an error, tell the user.|Use metric units.|Times are given in the 24-hour format.|
The last software update was on a {day}.|The service team is in {city}.|Call only the tools in the list.|
Fill in the arguments from the words of the user.|Leave out arguments that the user did not mention.|
The {room} has a lamp and a window.|Backups are made every {day}.|Do not say the same thing twice.|
The language of the reports is {lang}.|Orders are sent from {city}.|The battery should be charged every {day}."""
RULE_LIST = [s for s in _RULES.replace("\n", "").split("|") if s]
DONT_KNOW = "I am sorry, I do not know that."


def _cap(text: str, rng: random.Random) -> str:
    if rng.random() < 0.85:
        text = text[0].upper() + text[1:]
    roll = rng.random()
    if text.endswith("?"):
        return text[:-1] if roll < 0.1 else text
    return text + ("." if roll < 0.4 else "!" if roll < 0.5 else "")


def system_text(rng: random.Random, long_share: float = 0.1) -> str | None:
    """A system message of one of many kinds, or none."""
    roll = rng.random()
    if roll < 0.38:
        return None
    text = rng.choice(SYSTEM_LIST)
    if roll < 0.38 + long_share:
        count = rng.choice((3, 4, 6, 8, 12, 20, 32))
        rules = [rng.choice(RULE_LIST) for _ in range(count)]
        mark = rng.choice([" ", "\n", "\n- ", "\n\n"])
        text += mark + mark.join(_fill(r, rng) for r in rules)
    return text


def _fill(rule: str, rng: random.Random) -> str:
    while "{" in rule:
        rule = rule.replace("{room}", rng.choice(w.ROOM_LIST), 1).replace("{name}", rng.choice(w.FIRST), 1)
        rule = rule.replace("{city}", rng.choice(w.CITIES), 1).replace("{day}", rng.choice(w.DAYS), 1)
        rule = rule.replace("{lang}", rng.choice(w.LANGS), 1)
    return rule


def capital(rng: random.Random) -> list[Turn]:
    """A question for a capital, at times with follow-ups."""
    names = rng.sample(list(CAPITALS), 3)
    forms = ["what is the capital of {c}?", "what's the capital of {c}?", "which city is the capital of {c}?",
             "tell me the capital of {c}", "capital of {c}?", "what is the capital city of {c}?",
             "name the capital of {c}", "do you know the capital of {c}?", "can you tell me the capital of {c}?",
             "what is {c}'s capital?", "the capital of {c} is?", "please tell me the capital of {c}",
             "I want to know the capital of {c}", "give me the capital of {c}", "what is the capital of {c}"]
    turns: list[Turn] = []
    for i, name in enumerate(names[: rng.choice((1, 1, 1, 2, 3))]):
        c = with_article(name)
        follow = ["and of {c}?", "and {c}?", "what about {c}?", "and the capital of {c}?", "of {c}?", "and for {c}?",
                  "how about {c}?"]
        form = rng.choice(follow) if i and rng.random() < 0.75 else rng.choice(forms)
        turns.append((_cap(form.format(c=c), rng), f"The capital of {c} is {CAPITALS[name]}."))
    return turns


def capital_back(rng: random.Random) -> list[Turn]:
    """The country for a capital."""
    name = rng.choice(list(CAPITALS))
    if name in ("England", "Scotland", "Wales"):
        name = "United Kingdom"
    city, c = CAPITALS[name], with_article(name)
    form = rng.choice(["which country has the capital {x}?", "{x} is the capital of which country?",
                       "of which country is {x} the capital?", "in which country is {x}?", "where is {x}?"])
    if "in which" in form or "where" in form:
        return [(_cap(form.format(x=city), rng), f"{city} is in {c}.")]
    return [(_cap(form.format(x=city), rng), f"{city} is the capital of {c}.")]


def fact(rng: random.Random) -> list[Turn]:
    """A simple question with a known answer."""
    asks, answer = rng.choice(QA)
    ask = rng.choice(asks)
    if rng.random() < 0.15:
        ask = rng.choice(["please tell me: ", "hey, ", "I have a question: ", "do you know: "]) + ask
    return [(_cap(ask, rng), answer)]


def talk(rng: random.Random) -> list[Turn]:
    """Small talk and who the assistant is."""
    asks, answer = rng.choice(TALK[:16]) if rng.random() < 0.7 else rng.choice(TALK)
    ask = rng.choice(asks)
    if rng.random() < 0.12:
        ask = rng.choice(["hi, ", "hello, ", "hey, ", "ok, ", "so, "]) + ask
    if rng.random() < 0.06:
        name = rng.choice(w.FIRST)
        return [(_cap(f"hello, I am {name}", rng), f"Hello {name}! I am Distiller Nano. How can I help you?")]
    return [(_cap(ask, rng), answer)]


def _some_words(rng: random.Random) -> str:
    roll = rng.random()
    if roll < 0.3:
        return f"{rng.choice(w.COLORS)} {rng.choice(w.FOODS + w.DEVICES + w.ITEM_LIST)}"
    if roll < 0.5:
        return " ".join(w.made_word(rng) for _ in range(rng.randint(1, 4)))
    if roll < 0.75:
        return rng.choice(w.TEXT_LIST)
    if roll < 0.9:
        pool = w.COLORS + w.FOODS + w.DEVICES + w.ITEM_LIST + w.ADJ
        return " ".join(rng.choice(pool) for _ in range(rng.randint(1, 5)))
    return rng.choice(w.FIRST) + " " + rng.choice(["likes", "sees", "has a", "buys", "wants"]) + " " + rng.choice(w.FOODS)


def repeat(rng: random.Random) -> list[Turn]:
    """Words to be said again exactly."""
    x = _some_words(rng)
    form = rng.choice(["say the words: {x}", "repeat after me: {x}", "say: {x}", "repeat: {x}", "please say {x}",
                       "say \"{x}\"", "repeat the words {x}", "repeat this: {x}", "say exactly: {x}", "echo {x}",
                       "can you say {x}?", "say '{x}'", "repeat \"{x}\"", "please repeat: {x}", "say the word {x}",
                       "reply with: {x}", "answer with the words: {x}", "write: {x}", "say this: {x}",
                       "reply only with {x}", "repeat exactly: {x}", "just say {x}", "respond with the words: {x}"])
    ask = form.format(x=x)
    ask = ask[0].upper() + ask[1:] if rng.random() < 0.85 else ask
    if not ask.endswith(("?", '"', "'")) and rng.random() < 0.6:
        ask += "."
    return [(ask, x[0].upper() + x[1:] + ".")]


_FACTS = [
    ("my name is {x}|I am called {x}|call me {x}", "Nice to meet you, {x}!", "what is my name?|do you know my name?|"
     "who am I?|tell me my name|what am I called?|do you remember my name?", "Your name is {x}.", "name"),
    ("my favorite color is {x}|I love the color {x}|I like {x} best of all colors", "I will remember that: {x}.",
     "what is my favorite color?|which color do I like?|what color do I like best?", "Your favorite color is {x}.",
     "color"),
    ("I live in {x}|my home is in {x}|I am from {x}", "{x} is a nice place.", "where do I live?|where is my home?|"
     "in which city do I live?|where am I from?", "You live in {x}.", "city"),
    ("my dog is called {x}|I have a dog named {x}|the name of my dog is {x}", "{x} is a good name for a dog.",
     "what is my dog called?|what is the name of my dog?|how is my dog called?", "Your dog is called {x}.", "name"),
    ("my cat is called {x}|I have a cat named {x}|the name of my cat is {x}", "{x} is a good name for a cat.",
     "what is my cat called?|what is the name of my cat?", "Your cat is called {x}.", "name"),
    ("I am {x} years old|my age is {x}", "I will remember that you are {x}.", "how old am I?|what is my age?|"
     "do you know my age?", "You are {x} years old.", "age"),
    ("my favorite food is {x}|I like to eat {x}|I love {x}", "{x} sounds good.", "what is my favorite food?|what do I "
     "like to eat?|which food do I like?", "You like {x}.", "food"),
    ("the secret word is {x}|remember the word {x}|keep the word {x} in mind", "I will remember the word {x}.",
     "what is the secret word?|what is the word?|which word did I tell you?|tell me the word", "The word is {x}.", "word"),
    ("the number is {x}|remember the number {x}|my lucky number is {x}", "I will remember the number {x}.",
     "what is the number?|which number did I tell you?|what was my number?", "The number is {x}.", "age"),
]


def memory(rng: random.Random) -> list[Turn]:
    """Something told in one turn and asked for in a later one."""
    tell, reply, ask, answer, kind = rng.choice(_FACTS) if rng.random() < 0.6 else _FACTS[0]
    make = {"name": rng.choice(w.FIRST) if rng.random() < 0.75 else w.made_word(rng).capitalize(),
            "color": rng.choice(w.COLORS), "city": rng.choice(w.CITIES), "age": str(rng.randint(2, 99)),
            "food": rng.choice(w.FOODS), "word": rng.choice([w.made_word(rng), rng.choice(w.FOODS)])}
    x = make[kind]
    told = rng.choice(tell.split("|")).format(x=x)
    if rng.random() < 0.2:
        told = rng.choice(["hello, ", "hi, ", "hi! "]) + told
    said = reply.format(x=x)
    turns = [(_cap(told, rng), said[0].upper() + said[1:])]
    for _ in range(rng.choice((0, 0, 0, 1, 2))):
        turns += single(rng)[:1]
    turns.append((_cap(rng.choice(ask.split("|")), rng), answer.format(x=x)))
    return turns


def again(rng: random.Random) -> list[Turn]:
    """A question about the turn before."""
    first = rng.choice([fact, capital])(rng)[:1]
    ask = rng.choice(["can you repeat that?", "say that again", "what did you say?", "repeat your answer", "again please",
                      "once more"])
    return [*first, (_cap(ask, rng), first[0][1])]


def sums(rng: random.Random) -> list[Turn]:
    """Very small sums."""
    a, b = rng.randint(0, 10), rng.randint(0, 10)
    say = number_word if rng.random() < 0.2 else str
    if rng.random() < 0.7:
        form, c = rng.choice(["what is {a} plus {b}?", "{a} + {b}", "how much is {a} plus {b}?", "{a} plus {b}?",
                              "what is {a} + {b}?", "add {a} and {b}"]), a + b
        sign = "plus"
    else:
        a, b = max(a, b), min(a, b)
        form, c, sign = rng.choice(["what is {a} minus {b}?", "{a} - {b}", "how much is {a} minus {b}?"]), a - b, "minus"
    return [(_cap(form.format(a=say(a), b=say(b)), rng), f"{a} {sign} {b} is {c}.")]


def unknown(rng: random.Random) -> list[Turn]:
    """A question that a tiny model cannot answer."""
    x = rng.choice([rng.choice(w.FIRST) + " " + rng.choice(w.LAST), "a " + w.made_word(rng), w.made_word(rng).title()])
    ask = rng.choice(["who is {x}?", "what is {x}?", "how old is {x}?", "explain {x}", "who invented {x}?",
                      "tell me about {x}", "how does {x} work?", "why is {x} important?"])
    return [(_cap(ask.format(x=x), rng), DONT_KNOW)]


def single(rng: random.Random) -> list[Turn]:
    """One short exchange of any kind without memory."""
    kinds = [capital, fact, talk, repeat, sums, unknown, capital_back]
    return rng.choices(kinds, [28, 25, 21, 20, 4, 2, 2])[0](rng)


def conversation(rng: random.Random) -> list[dict[str, Any]]:
    """A plain conversation of one to five exchanges."""
    turns: list[Turn] = []
    for _ in range(rng.choice((1, 1, 2, 3, 4))):
        roll = rng.random()
        part = memory(rng) if roll < 0.2 else again(rng) if roll < 0.24 else single(rng)
        turns += part
    if rng.random() < 0.02:
        turns.append(story_turn(rng))
    return to_messages(turns, system_text(rng, 0.06))


def story_conversation(rng: random.Random) -> list[dict[str, Any]]:
    """A story, at times after a greeting."""
    turns = single(rng)[:1] if rng.random() < 0.2 else []
    return to_messages([*turns, story_turn(rng)], system_text(rng, 0.05))


def to_messages(turns: list[Turn], system: str | None) -> list[dict[str, Any]]:
    """Turn exchanges into chat messages."""
    out: list[dict[str, Any]] = [{"role": "system", "content": system}] if system else []
    for user, assistant in turns:
        out += [{"role": "user", "content": user}, {"role": "assistant", "content": assistant}]
    return out
