"""Owns the kinds of tool parameters: their names, schemas, spoken phrases and values."""

from __future__ import annotations

import random
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from . import words as w

Maker = Callable[[random.Random], "tuple[str, Any]"]
ONES = """zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen
fifteen sixteen seventeen eighteen nineteen""".split()
TENS = "zero ten twenty thirty forty fifty sixty seventy eighty ninety".split()


def number_word(n: int) -> str:
    """Spell a number below one hundred."""
    if n < 20:
        return ONES[n]
    return TENS[n // 10] + ("-" + ONES[n % 10] if n % 10 else "")


def expand(text: str, rng: random.Random) -> str:
    """Resolve (a|b) choices and [optional] parts, innermost first."""
    while True:
        found = re.search(r"\(([^()\[\]]*)\)|\[([^()\[\]]*)\]", text)
        if not found:
            return text
        if found.group(1) is not None:
            new = rng.choice(found.group(1).split("|"))
        else:
            new = found.group(2) if rng.random() < 0.5 else ""
        text = text[: found.start()] + new + text[found.end() :]


def pick(items: list[Any]) -> Maker:
    """A value said as it is written."""

    def make(rng: random.Random) -> tuple[str, Any]:
        v = rng.choice(items)
        return v, v

    return make


def whole(lo: int, hi: int, step: int = 1, words: bool = True) -> Maker:
    """A whole number, at times said in words."""

    def make(rng: random.Random) -> tuple[str, Any]:
        v = rng.randrange(lo, hi + 1, step) if rng.random() < 0.7 else rng.randint(lo, hi)
        if words and 0 < v < 100 and (v <= 20 or v % 10 == 0) and rng.random() < 0.25:
            return number_word(v), v
        return str(v), v

    return make


def real(lo: float, hi: float, digits: int = 1) -> Maker:
    """A number with a fraction, or a whole one."""

    def make(rng: random.Random) -> tuple[str, Any]:
        if rng.random() < 0.35:
            v = rng.randint(int(lo), int(hi))
            return str(v), v
        f = round(rng.uniform(lo, hi), rng.randint(1, digits))
        return str(f), f

    return make


def _name(rng: random.Random) -> tuple[str, Any]:
    v = rng.choice(w.FIRST) if rng.random() < 0.85 else w.made_word(rng).capitalize()
    if rng.random() < 0.25:
        v += " " + rng.choice(w.LAST)
    return v, v


def _city(rng: random.Random) -> tuple[str, Any]:
    v = rng.choice(w.CITIES) if rng.random() < 0.85 else w.made_word(rng).capitalize()
    return v, v


def _time(rng: random.Random) -> tuple[str, Any]:
    h, m = rng.randint(0, 23), rng.choice((0, 0, 5, 10, 15, 20, 30, 30, 40, 45, 50, rng.randint(0, 59)))
    if rng.random() < 0.8:
        v = f"{h:02d}:{m:02d}"
    else:
        v = f"{h % 12 or 12}:{m:02d} {'am' if h < 12 else 'pm'}"
    return v, v


def _clock(rng: random.Random) -> tuple[str, Any]:
    h, m = rng.randint(0, 23), rng.choice((0, 0, 15, 30, 45, rng.randint(0, 59)))
    v = f"{h:02d}:{m:02d}"
    roll = rng.random()
    if roll < 0.6:
        return v, v
    half = "am" if h < 12 else "pm"
    if m == 0:
        return f"{h % 12 or 12} {half}", v
    return f"{h % 12 or 12}:{m:02d} {half}", v


def _date(rng: random.Random) -> tuple[str, Any]:
    y, m, d = rng.randint(2019, 2032), rng.randint(1, 12), rng.randint(1, 28)
    roll = rng.random()
    if roll < 0.5:
        v = f"{y}-{m:02d}-{d:02d}"
    elif roll < 0.7:
        v = rng.choice(w.DAYS)
    elif roll < 0.85:
        v = rng.choice(["today", "tomorrow", "next week", "tonight", "yesterday"])
    else:
        v = f"{w.MONTHS[m - 1]} {d}"
    return v, v


def _email(rng: random.Random) -> tuple[str, Any]:
    host = rng.choice(["mail", "post", "office", "web", "home", w.made_word(rng), w.made_word(rng)])
    user = rng.choice(w.FIRST).lower()
    if rng.random() < 0.4:
        user += rng.choice([".", "_", ""]) + rng.choice(w.LAST).lower()
    if rng.random() < 0.2:
        user += str(rng.randint(1, 99))
    v = f"{user}@{host}.{rng.choice(['com', 'org', 'net', 'io', 'de', 'ch', 'example'])}"
    return v, v


def _phone(rng: random.Random) -> tuple[str, Any]:
    d = "".join(rng.choice("0123456789") for _ in range(rng.randint(5, 10)))
    v = rng.choice([d, "+" + d, f"{d[:3]}-{d[3:]}"])
    return v, v


def _code(rng: random.Random) -> tuple[str, Any]:
    letters = "".join(rng.choice("ABCDEFGHJKLMNPQRSTUVWXYZ") for _ in range(rng.randint(1, 3)))
    digits = "".join(rng.choice("0123456789") for _ in range(rng.randint(2, 5)))
    v = rng.choice([letters + digits, f"{letters}-{digits}", digits, f"{digits}{letters[0]}"])
    return v, v


def _file(rng: random.Random) -> tuple[str, Any]:
    stem = rng.choice(w.ITEM_LIST + w.TITLE_LIST).replace(" ", rng.choice("_-"))
    if rng.random() < 0.3:
        stem += str(rng.randint(1, 2030))
    v = f"{stem}.{rng.choice(['txt', 'pdf', 'csv', 'json', 'png', 'jpg', 'mp3', 'docx', 'log', 'md'])}"
    return v, v


def _url(rng: random.Random) -> tuple[str, Any]:
    v = f"{rng.choice(['https://', 'http://', 'www.'])}{w.made_word(rng)}.{rng.choice(['com', 'org', 'net'])}"
    if rng.random() < 0.4:
        v += "/" + rng.choice(w.ITEM_LIST).replace(" ", "-")
    return v, v


def _text(rng: random.Random) -> tuple[str, Any]:
    v = rng.choice(w.TEXT_LIST)
    if rng.random() < 0.3:
        v = f"{rng.choice(w.FIRST)} {rng.choice(['says', 'thinks', 'hopes'])} {v}"
    elif rng.random() < 0.15:
        v = " ".join(w.made_word(rng) for _ in range(rng.randint(2, 4)))
    if rng.random() < 0.25:
        v = v[0].upper() + v[1:]
    return v, v


def _title(rng: random.Random) -> tuple[str, Any]:
    roll = rng.random()
    if roll < 0.5:
        v = rng.choice(w.TITLE_LIST)
    elif roll < 0.8:
        v = f"{rng.choice(w.ADJ + w.COLORS)} {rng.choice(w.ITEM_LIST + w.FOODS + w.DEVICES)}"
    else:
        v = f"{w.made_word(rng)} {rng.choice(w.ITEM_LIST)}"
    if rng.random() < 0.4:
        v = v.title()
    return v, v


def _thing(rng: random.Random) -> tuple[str, Any]:
    roll = rng.random()
    pool = w.FOODS if roll < 0.5 else w.ITEM_LIST if roll < 0.7 else w.DEVICES
    v = rng.choice(pool)
    if rng.random() < 0.2:
        v = f"{rng.choice(w.COLORS)} {v}"
    if rng.random() < 0.1:
        v = w.made_word(rng)
    return v, v


@dataclass
class Kind:
    """One kind of parameter: how it is named, described, said and made."""

    names: list[str]
    descs: list[str]
    type: str
    make: Maker
    tails: list[str]
    enum: list[str] = field(default_factory=list)
    lo: int | None = None
    hi: int | None = None


def _k(names: str, descs: str, typ: str, make: Maker, tails: str, lo: int | None = None,
       hi: int | None = None) -> Kind:
    return Kind(names.split(), descs.split("|"), typ, make, tails.split("|"), [], lo, hi)


I, N, S = "integer", "number", "string"
KINDS: dict[str, Kind] = {
    "name": _k("name person user contact person_name who", "Name of the person|The person's name|Who|Person",
               S, _name, "for {p}"),
    "to": _k("to recipient to_name receiver contact", "Who gets it|Name of the recipient|Recipient", S, _name,
             "to {p}"),
    "by": _k("author owner by creator assignee", "Who made it|Person in charge|Owner", S, _name, "by {p}|from {p}"),
    "city": _k("city location place town destination", "City name|Name of the city|The town|Where", S, _city,
               "in {p}|for {p}|in {p}"),
    "room": _k("room location area zone place", "Room name|Which room|Where in the house|Name of the room", S,
               pick(w.ROOM_LIST), "in the {p}"),
    "from_city": _k("from origin start departure_city from_city", "Where it starts|City of departure", S, _city,
                    "from {p}"),
    "to_city": _k("to destination goal arrival_city to_city", "Where it ends|City of arrival", S, _city, "to {p}"),
    "minutes": _k("minutes duration duration_minutes length_min mins time_minutes", "Duration in minutes|How many "
                  "minutes|Minutes|Length in minutes", I, whole(1, 120, 5), "for {p} minutes|for {p} min"),
    "seconds": _k("seconds duration_seconds duration secs length_s", "Duration in seconds|How many seconds|Seconds",
                  I, whole(1, 90, 5), "for {p} seconds"),
    "hours": _k("hours duration_hours num_hours", "Number of hours|How many hours", I, whole(1, 24), "for {p} hours"),
    "days": _k("days num_days day_count", "Number of days|How many days", I, whole(1, 30), "for {p} days"),
    "percent": _k("percent level percentage value intensity amount", "Percent from 0 to 100|Level, 0 to 100|"
                  "Percentage|Value in percent", I, whole(0, 100, 5), "to {p} percent|to {p}%|at {p} percent",
                  0, 100),
    "level": _k("level value setting step strength power", "Level to set|New level|Level from 1 to 10|Strength",
                I, whole(1, 10), "to level {p}|to {p}|at level {p}", 1, 10),
    "count": _k("count number amount times quantity n how_many", "How many|Number of times|Count|How often", I,
                whole(1, 20), "{p} times"),
    "limit": _k("limit max_results count max n", "Most results to return|How many to return|Limit", I,
                whole(1, 50), "with at most {p} results|, at most {p}|limited to {p}"),
    "celsius": _k("temperature celsius degrees target temp", "Temperature in degrees Celsius|Target temperature|"
                  "Degrees", N, real(5, 90), "to {p} degrees|at {p} degrees"),
    "speed": _k("speed rpm velocity rate", "Speed to use|Speed|How fast", I, whole(1, 3000, 50),
                "at speed {p}|with speed {p}"),
    "distance": _k("distance meters length steps", "Distance in meters|How far, in meters|Meters", N, real(1, 500),
                   "by {p} meters|for {p} meters"),
    "angle": _k("angle degrees rotation", "Angle in degrees|Degrees to turn", I, whole(5, 360, 15),
                "by {p} degrees|to {p} degrees"),
    "weight": _k("weight grams kilos kg mass", "Weight|Weight in kilograms|How heavy", N, real(1, 90),
                 "with {p} kilos|of {p} kg|weighing {p} kg"),
    "price": _k("price amount cost sum value max_price", "Amount of money|Price|Sum in the local currency", N,
                real(1, 900, 2), "for {p} dollars|of {p} euros|for {p} francs"),
    "volume_ml": _k("milliliters ml volume amount", "Amount in milliliters|How much, in ml", I, whole(10, 2000, 50),
                    "with {p} ml|using {p} milliliters"),
    "id": _k("id code number reference key order_id item_id", "Its number|Identifier|Reference code|The id", S, _code,
             "with id {p}|number {p}|with code {p}|{p}"),
    "index": _k("index channel slot position port line page", "Slot number|Which one, by number|Index", I,
                whole(0, 40), "number {p}|in slot {p}|on channel {p}"),
    "time": _k("time at start_time when at_time", "Time of day|At what time|When|Clock time", S, _time,
               "at {p}"),
    "clock": _k("time at wake_time at_time", "Time as HH:MM|24-hour time HH:MM|Time in 24-hour format (HH:MM)", S,
                _clock, "at {p}"),
    "date": _k("date day on due due_date", "Date|On which day|The day|Due date", S, _date, "on {p}"),
    "isodate": _k("date day from_date on_date", "Date as YYYY-MM-DD|Day (YYYY-MM-DD)", S,
                  lambda r: (lambda v: (v, v))(f"{r.randint(2019, 2032)}-{r.randint(1, 12):02d}-{r.randint(1, 28):02d}"),
                  "on {p}"),
    "weekday": _k("day weekday", "Day of the week|Weekday", S, pick(w.DAYS), "on {p}"),
    "email": _k("email address to recipient email_address", "E-mail address|Address to use|Mail address", S, _email,
                "to {p}|with address {p}|for {p}"),
    "phone": _k("phone number phone_number", "Phone number|Number to use", S, _phone, "with number {p}|on {p}"),
    "text": _k("text message body content msg words", "The text|Text of the message|What to say|Message", S, _text,
               "saying {p}|with the text \"{p}\"|that says '{p}'|: {p}|with the message {p}"),
    "title": _k("title name label heading subject", "Title|Its name|A short title|Name to give it", S, _title,
                "called {p}|named {p}|titled \"{p}\"|with the title {p}|called '{p}'"),
    "query": _k("query q search term keyword text", "What to look for|Search words|Search query", S, _title,
                "about {p}|for {p}|matching \"{p}\""),
    "thing": _k("item thing object what product", "What it is about|Item name|The item", S, _thing, "for {p}|with {p}"),
    "file": _k("file filename path file_name", "File name|Path of the file|Name of the file", S, _file,
               "from {p}|to {p}|in {p}|as {p}"),
    "url": _k("url link address", "Web address|URL|Link", S, _url, "from {p}|at {p}|using {p}"),
    "color": _k("color colour", "Color name|Color to use|The colour", S, pick(w.COLORS), "in {p}|to {p}"),
    "language": _k("language lang", "Language|Language to use", S, pick(w.LANGS), "in {p}"),
    "genre": _k("genre style", "Kind of music|Genre|Style", S, pick(w.GENRE_LIST), "of the genre {p}|in {p} style"),
    "task": _k("text task title what message", "What to do|Task text|What it is about", S, pick(w.TASK_LIST),
               "to {p}"),
    "word": _k("key tag label keyword name", "A word|Tag|Keyword", S,
               lambda r: (lambda v: (v, v))(w.made_word(r)), "tagged {p}|named {p}|with tag {p}"),
    "ssid": _k("ssid network name", "Name of the network|Wi-Fi name", S,
               lambda r: (lambda v: (v, v))(r.choice(["Home", "Guest", "Office", "Cafe", w.made_word(r).title()])
                                            + r.choice(["Net", "-5G", "WiFi", "_2", "Lan", str(r.randint(1, 99))])),
               "to {p}|called {p}"),
    "secret": _k("password passphrase key", "Password|The password", S,
                 lambda r: (lambda v: (v, v))(w.made_word(r) + str(r.randint(1, 9999))),
                 "with password {p}|using the password {p}"),
    "song": _k("song title track name", "Song title|Name of the song|Track", S,
               lambda r: (lambda v: (v, v))(_title(r)[0].title()), "{p}"),
}

ENUMS: list[tuple[str, str, str]] = [
    ("mode", "eco comfort boost away", "in {p} mode"), ("mode", "auto manual off", "in {p} mode"),
    ("mode", "heat cool dry", "in {p} mode"), ("mode", "silent normal turbo", "in {p} mode"),
    ("mode", "slow medium fast", "in {p} mode"), ("priority", "low medium high", "with {p} priority"),
    ("priority", "low normal urgent", "with {p} priority"), ("size", "small medium large", "in {p} size"),
    ("direction", "left right", "to the {p}"), ("direction", "up down", "{p}"),
    ("direction", "forward backward", "{p}"), ("direction", "north south east west", "to the {p}"),
    ("format", "pdf csv json", "as {p}"), ("format", "short long", "in {p} form"),
    ("quality", "low medium high", "in {p} quality"), ("unit", "metric imperial", "in {p} units"),
    ("unit", "celsius fahrenheit", "in {p}"), ("unit", "km miles", "in {p}"),
    ("period", "day week month year", "for this {p}"), ("period", "daily weekly monthly", "on a {p} basis"),
    ("side", "front back", "on the {p} side"), ("side", "left right both", "on the {p} side"),
    ("status", "open closed", "with status {p}"), ("status", "todo doing done", "with status {p}"),
    ("order", "newest oldest", "{p} first"), ("sort", "price date name", "sorted by {p}"),
    ("class", "economy business first", "in {p} class"), ("level", "low mid high", "on {p}"),
    ("profile", "home work travel", "with the {p} profile"), ("channel", "email sms push", "by {p}"),
    ("speed", "slow normal fast", "at {p} speed"), ("effect", "fade blink pulse", "with a {p} effect"),
    ("scene", "movie party relax sleep", "for {p}"), ("material", "wood metal glass plastic", "of {p}"),
    ("meal", "breakfast lunch dinner", "for {p}"), ("season", "spring summer autumn winter", "in {p}"),
    ("role", "admin editor viewer", "as {p}"), ("visibility", "public private", "as {p}"),
    ("program", "cotton wool quick", "with the {p} program"), ("shape", "circle square triangle", "as a {p}"),
]
BOOLS: list[tuple[str, str, str, str]] = [
    ("repeat", "Whether to repeat it", "and repeat it", "without repeating"),
    ("silent", "Do it without sound", "silently", "with sound"),
    ("notify", "Send a notification", "and notify me", "without notifying me"),
    ("urgent", "Whether it is urgent", "as urgent", "not urgent"),
    ("force", "Force it", "with force", "without force"),
    ("loop", "Play it again and again", "in a loop", "without looping"),
    ("confirm", "Ask before doing it", "and ask me to confirm", "without asking"),
    ("recursive", "Include folders inside", "with subfolders", "without subfolders"),
    ("round_trip", "Both ways", "round trip", "one way"),
    ("shuffle", "Random order", "in random order", "in order"),
    ("verbose", "Give all details", "with all details", "without details"),
    ("save", "Keep a copy", "and save it", "without saving"),
]


def enum_kind(name: str, options: list[str], tail: str = "{p}") -> Kind:
    """A parameter with a closed list of values."""
    descs = [f"The {name}", f"Which {name}", name.replace("_", " ").capitalize(), "One of the listed values"]
    return Kind([name], descs, S, pick(options), [tail], options)
