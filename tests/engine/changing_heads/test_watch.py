"""Instructions that change from request to request are told; other prompts are not."""

from __future__ import annotations

import random

import pytest

from tests.engine.changing_heads.conversations import RULES, House

ROOMS = ["kitchen", "hall", "bath", "attic", "cellar", "garage"]
DEVICES = [f"light.{room}, {room} light" for room in ROOMS]
NAMES = ["Anna", "Ben", "Carl", "Dora", "Emil", "Fritz"]
TIMES = [f"{8 + number}:{number * 7 % 60:02}" for number in range(12)]


def clock(number: int) -> str:
    return f"It is {TIMES[number]}. {RULES}"


def states(number: int) -> str:
    """Return a list of devices of which each has another state or none from request to request."""
    dice = random.Random(number)
    lines = [f"{device}: {dice.choice(['on', 'off'])}" for device in DEVICES]
    return f"The devices:\n{chr(10).join(lines)}\n{RULES}"


def sensors(number: int) -> str:
    dice = random.Random(number)
    rooms = [
        f"The {room} has {dice.randrange(15, 30)}.{dice.randrange(10)} degrees and "
        f"{dice.randrange(30, 70)} percent of humidity there."
        for room in ("hall", "bath", "attic")
    ]
    return " ".join([rooms[0], RULES[:200], rooms[1], RULES[200:], rooms[2], RULES])


def reordered(number: int) -> str:
    devices = list(DEVICES)
    random.Random(number).shuffle(devices)
    return f"The devices: {'; '.join(devices)}. {RULES}"


CHANGING = {
    "a time": (clock, "time", 4),
    "a time within the text": (lambda n: f"{RULES} It is {TIMES[n]} now. {RULES}", "time", 4),
    "a time with seconds": (lambda n: f"Time: 12:{n:02}:{n * 17 % 60:02}\n{RULES}", "time", 4),
    "a date": (lambda n: f"Today is {n + 1} December 2026. {RULES}", "date", 4),
    "a weekday": (
        lambda n: f"Today is {['Monday', 'Tuesday', 'Friday', 'Sunday'][n % 4]}. {RULES}",
        "date",
        4,
    ),
    "a timestamp": (lambda n: f"<now>2026-11-30T12:{n:02}:04+01:00</now> {RULES}", "time", 4),
    "a temperature": (lambda n: f"Outside it is {20 + n}.{n} °C. {RULES}", "number", 4),
    "an identifier": (
        lambda n: f"Session {n:08x}-0b7d-4c55-9d0e-2f6f1f0a7b11. {RULES}",
        "identifier",
        4,
    ),
    "several sensors": (sensors, "number", 4),
    "a list of states": (states, "state", 4),
    "Home Assistant's prompt": (
        lambda n: (
            f"Current time is 12:{n:02}:{n * 17 % 60:02}. Today's date is 2026-11-30.\n{states(n)}"
        ),
        "time",
        4,
    ),
    "an inserted line": (lambda n: f"Timers: {' tea,' * n}. {RULES}", "text", 8),
    "another order": (reordered, "text", 8),
    "a name": (lambda n: f"You speak with {NAMES[n]}. {RULES}", "text", 6),
}


@pytest.mark.parametrize("name", CHANGING)
def test_what_changes_with_each_request_is_told(name: str) -> None:
    system, kind, n_requests = CHANGING[name]
    house = House()
    assert house.ask_all(map(system, range(3))) == []
    (found,) = house.ask_all(map(system, range(3, n_requests)))
    assert found.kind == kind
    assert found.changes >= 3
    assert found.tokens >= 64
    assert found.seconds == found.tokens / 50.0


def test_it_is_told_where_and_what_changes_and_what_it_costs() -> None:
    house = House()
    (found,) = house.ask_all(map(clock, range(4)))
    n_head = len(house.tokens(f"<system>{clock(0)}</system>"))
    assert found.index == house.tokens(f"<system>{clock(0)}").index(house.tokens(" 8")[0])
    assert found.head_tokens == n_head
    assert abs(found.tokens - n_head) <= 16
    assert found.places == 1
    assert found.before.endswith("It is")
    assert found.values == TIMES[1:4]


def test_the_place_is_where_the_value_begins_whichever_of_its_digits_change() -> None:
    house = House()
    times = ["12:03:04", "12:03:05", "12:03:09", "12:04:10", "13:00:00"]
    (found,) = house.ask_all(f"It is {time}. {RULES}" for time in times)
    assert found.index == len(house.tokens("<system>It is"))
    assert found.values == times[2:]
    assert found.before.endswith("It is")


def test_the_message_holds_place_kind_and_cost_and_nothing_of_the_prompt() -> None:
    house = House()
    (found,) = house.ask_all(map(clock, range(4)))
    for word in (f"token {found.index} of {found.head_tokens}", "a time of day", "GET /cache"):
        assert word in found.message
    assert f"{found.tokens} tokens" in found.message
    assert "end of the system prompt" in found.message
    assert "It is" not in found.message
    assert not any(value in found.message for value in TIMES)


def test_places_that_change_together_are_one_report() -> None:
    house = House()
    (found,) = house.ask_all(map(sensors, range(5)))
    assert found.places >= 3
    assert "more" in found.message
    assert found.before.endswith("The hall has")


def test_it_is_logged_once_and_again_when_it_has_ended() -> None:
    house = House()
    house.ask_all(map(clock, range(12)))
    assert [level for level, _ in house.lines] == ["warning"]
    assert house.lines[0][1] == house.watch.found[0].message or "a time" in house.lines[0][1]
    house.ask_all([RULES] * 20)
    assert [level for level, _ in house.lines] == ["warning", "info"]


def test_what_flickers_is_not_logged_each_time() -> None:
    house = House()
    for _ in range(3):
        house.ask_all([f"It is {n % 24}:{n % 60:02}. {RULES}" for n in range(5)])
        house.ask_all([RULES] * 10)
        house.now_s -= 15 * 60.0 - 1.0
    assert [level for level, _ in house.lines].count("warning") == 1


# ---------------------------------------------------------------- the end


@pytest.mark.parametrize("fixed", [clock(11), RULES, f"{RULES} It is 12:03."])
def test_it_ends_once_the_instructions_stay_as_they_are(fixed: str) -> None:
    house = House()
    assert house.ask_all(map(clock, range(6)))
    assert house.ask_all([fixed] * 12) == []


def test_it_ends_where_the_value_has_moved_to_the_end() -> None:
    house = House()
    assert house.ask_all(map(clock, range(6)))
    assert house.ask_all(f"{RULES} It is {TIMES[number]}." for number in range(12)) == []


def test_it_goes_on_where_some_requests_share_a_value() -> None:
    house = House()
    assert house.ask_all(clock(number // 3) for number in range(30))


def test_it_ends_when_no_such_prompt_comes_any_more() -> None:
    house = House()
    assert house.ask_all(map(clock, range(6)))
    assert house.ask_all(f"{number} {number} {number} " * 50 for number in range(20)) == []


def test_it_is_forgotten_on_request() -> None:
    house = House()
    assert house.ask_all(map(clock, range(6)))
    house.watch.forget()
    assert house.watch.found == []
    assert house.watch.n_bytes == 0
    assert [level for level, _ in house.lines] == ["warning"], "it has not ended by itself"


# ---------------------------------------------------------------- what is none


def test_instructions_that_stay_as_they_are_are_none() -> None:
    assert House().ask_all([RULES] * 20) == []


@pytest.mark.parametrize("n_kept", [1, 1000])
@pytest.mark.parametrize("n_clients", [2, 3])
def test_several_clients_with_instructions_of_their_own_are_none(
    n_clients: int, n_kept: int
) -> None:
    house = House(n_kept)
    for number in range(30):
        assert house.ask(f"You are helper {number % n_clients}. {RULES}") == []


def test_clients_with_other_instructions_altogether_are_none() -> None:
    house = House()
    for number in range(30):
        assert (
            house.ask(RULES if number % 2 else f"Translate into {number % 6}: {RULES[::-1]}") == []
        )


def test_a_conversation_that_grows_is_none() -> None:
    house = House()
    turns: list[str] = []
    for number in range(12):
        turns += [f"Question {number}: {RULES}", f"Answer {number}."]
        assert house.ask(RULES, *turns[:-1]) == []


def test_a_conversation_that_grows_without_instructions_is_none() -> None:
    house = House()
    turns: list[str] = []
    for number in range(12):
        turns += [f"At {TIMES[number]} I asked: {RULES}", f"Answer {number}."]
        assert house.ask("", *turns[:-1]) == []


def test_conversations_of_which_the_oldest_turns_are_left_out_are_none() -> None:
    for system in (RULES, ""):
        house = House()
        turns = [f"{word} {RULES}" for word in RULES.split()[:40]]
        for number in range(20):
            assert house.ask(system, *turns[number : number + 5]) == []


def test_questions_that_differ_are_none() -> None:
    house = House()
    for word in RULES.split()[:30]:
        assert house.ask("", f"What does {word} mean in this? {RULES}") == []
        assert house.ask(RULES, f"What does {word} mean in this? {RULES}") == []


def test_instructions_that_are_being_edited_are_none() -> None:
    house = House()
    words = RULES.split()
    for number in (30, 70, 10, 50, 20, 60, 40):
        words[number] = "edited"
        assert house.ask(" ".join(words)) == []


def test_one_that_tries_a_sentence_a_few_times_is_none() -> None:
    house = House()
    for sentence in ("Be short.", "Be brief.", "Be quick. Be good.", "Answer in 3 words."):
        assert house.ask(f"{sentence} {RULES}") == []


def test_a_value_behind_which_little_follows_is_none() -> None:
    assert House().ask_all(f"{RULES} It is {time}. Be short." for time in TIMES) == []


def test_a_value_in_the_last_message_is_none() -> None:
    house = House()
    for time in TIMES:
        assert house.ask(RULES, f"It is {time}. {RULES}") == []


def test_a_value_that_changes_once_a_day_is_none() -> None:
    house = House()
    for day in range(12):
        assert house.ask(f"Today is {day + 1} December. {RULES}") == []
        house.now_s += 24 * 3600.0


def test_what_was_not_cached_anyway_is_none() -> None:
    house = House(n_kept=0)
    assert house.ask_all(f"{RULES} It is {time}. {RULES}" for time in TIMES) == []


# ---------------------------------------------------------------- special ones


def test_the_conversation_behind_a_clock_counts_too() -> None:
    house = House()
    turns: list[str] = []
    for time in TIMES:
        turns += [f"Question. {RULES}", "Answer."]
        house.ask(f"{RULES} It is {time}.", *turns[:-1])
    (found,) = house.watch.found
    assert found.tokens > 300
    assert "last user message" in found.message
    assert "end of the system prompt" not in found.message


def test_a_clock_in_the_first_message_counts_where_there_are_no_instructions() -> None:
    house = House()
    for time in TIMES[:4]:
        house.ask("", f"It is {time}. {RULES}")
    (found,) = house.watch.found
    assert (found.kind, found.values) == ("time", TIMES[1:4])
    assert "beginning" in found.message


def test_two_clients_with_a_clock_each_are_two_reports() -> None:
    house = House()
    for time in TIMES:
        house.ask(f"It is {time}. {RULES}")
        house.ask(f"{RULES[::-1]} It is {time}. {RULES[::-1]}")
    assert len(house.watch.found) == 2
    assert house.watch.found[0].tokens >= house.watch.found[1].tokens


def test_instructions_that_contain_the_others_are_reported_by_themselves() -> None:
    house = House()
    house.ask_all(f"It is {time}. {RULES}" for time in TIMES[:5])
    house.ask_all(f"Be kind. {RULES} It is {time}. {RULES[::-1]}" for time in TIMES[:5])
    first, second = sorted(house.watch.found, key=lambda found: found.index)
    assert first.head_tokens < second.index + second.tokens
    assert second.index > 100


def test_one_that_stays_beside_one_with_a_clock_changes_nothing() -> None:
    house = House()
    for time in TIMES:
        house.ask(f"It is {time}. {RULES}")
        house.ask(f"Translate. {RULES[::-1]}")
    assert [found.kind for found in house.watch.found] == ["time"]


def test_memory_is_bounded() -> None:
    house = House()
    for number in range(40):
        house.watch.note("r", [number, *range(60_000)], n_system=50_000, n_cached=0)
        assert house.watch.n_bytes <= 1024 * 1024
    house.watch.note("r", range(300_000), n_system=300_000, n_cached=0)
    assert house.watch.n_bytes <= 1024 * 1024


def test_a_long_value_is_cut_in_the_report() -> None:
    house = House()
    house.ask_all(
        f"Known: {f'fact {number} ' * 100} {RULES} {RULES} {RULES}" for number in range(6)
    )
    assert all(len(value) <= 81 for found in house.watch.found for value in found.values)
