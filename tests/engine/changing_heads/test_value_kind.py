"""What changed is told by its kind where it is a value, and is words where it is anything else."""

from __future__ import annotations

import pytest

from app.engine.changing_heads.value_kind import kind_of_change, whole_words

CHANGES = [
    ("12:03", "12:04", "time"),
    ("12:03:59", "12:04:00", "time"),
    ("9:59 AM", "10:00 AM", "time"),
    ("11:59 AM", "12:00 PM", "time"),
    ("2026-11-30T12:03:04+01:00", "2026-11-30T12:03:05+01:00", "time"),
    ("2026-11-30T12:03:04.123Z", "2026-12-01T00:00:00.000Z", "time"),
    ("2026-11-30 23:59", "2026-12-01 00:00", "time"),
    ("Monday, 30 November 2026, 23:59", "Tuesday, 1 December 2026, 00:00", "time"),
    ("1764504184", "1764504190", "time"),
    ("8 Uhr", "9:15 Uhr", "time"),
    ("2026-11-30", "2026-12-01", "date"),
    ("30.11.2026", "1.12.2026", "date"),
    ("11/30/26", "12/1/26", "date"),
    ("Monday", "Tuesday", "date"),
    ("Montag, 30. November", "Dienstag, 1. Dezember", "date"),
    ("November 30th", "December 1st", "date"),
    ("4f1c2a9e-0b7d-4c55-9d0e-2f6f1f0a7b11", "11112222-3333-4444-5555-666677778888", "identifier"),
    ("01JDKQ3W9Z7X2M4N5P6R8S9T0V", "01JDKQ4A1B2C3D4E5F6G7H8J9K", "identifier"),
    ("21.5", "21.7", "number"),
    ("21.5 °C", "22 °C", "number"),
    ("21.5°C", "-3°C", "number"),
    ("48%", "51%", "number"),
    ("5min", "4min", "number"),
    ('{"temp":21.5,"hum":48}', '{"temp":21.6,"hum":47}', "number"),
    ("temp=21.5;", "temp=22;", "number"),
    ("21,5", "21,7", "number"),
    (
        "\u73b0\u5728\u65f6\u95f4\u662f12:03\u3002",
        "\u73b0\u5728\u65f6\u95f4\u662f12:04\u3002",
        "time",
    ),
    ("on", "off", "state"),
    ("'not_home'", "'home'", "state"),
    ("kitchen on, hall off, 21.5", "kitchen off, hall off, 21.7", "number"),
    ("It is 12:03 and 21.5 degrees", "It is 12:04 and 21.5 degrees", "time"),
]
WORDS = [
    ("Be short.", "Be brief."),
    ("Be short.", "Be short. Answer in German."),
    ("Answer in 3 sentences.", "Answer with 2 sentences."),
    ("Anna", "Ben"),
    ("kitchen hall", "hall kitchen"),
    ("", ""),
    ("none", "kitchen 5min"),
    ("\u5b89\u5a1c", "\u672c"),
    ("same", "same"),
]


@pytest.mark.parametrize(("old", "new", "kind"), CHANGES)
def test_a_value_is_told_by_its_kind(old: str, new: str, kind: str) -> None:
    assert kind_of_change(old, new) == kind_of_change(new, old) == kind


@pytest.mark.parametrize(("old", "new"), WORDS)
def test_anything_else_is_words(old: str, new: str) -> None:
    assert kind_of_change(old, new) == kind_of_change(new, old) == "text"


def test_a_number_beside_the_name_of_a_month_or_of_a_half_of_the_day_is_no_mere_number() -> None:
    assert kind_of_change("1", "2", before="Today is", after=" December 2026.") == "date"
    assert kind_of_change("1", "2", before="It is Sunday, May", after=", the") == "date"
    assert kind_of_change("8", "9", before="It is", after=" am in") == "time"
    assert kind_of_change("8", "9", before="There are", after=" lamps") == "number"


@pytest.mark.parametrize(
    ("before", "text", "after", "left", "whole"),
    [
        ("It is 12:0", "3", ":04 now", "12:0", "12:03:04"),
        ("It is", " 12:03", ", so", "", "12:03"),
        ("It is ", "12:03", ". So", "", "12:03"),
        ('{"temp":2', "1", '.5,"hum"', ":2", "21.5"),
        ("", "12", "", "", "12"),
        ("\u65f6\u95f4\u662f12:0", "3", "\u3002", "12:0", "12:03"),
        ("is ", "", " now", "", ""),
        ("timers: ", "none ", "left", "", "none"),
    ],
)
def test_a_part_of_a_word_is_extended_to_the_whole_word(
    before: str, text: str, after: str, left: str, whole: str
) -> None:
    assert whole_words(before, text, after) == (left, whole)
