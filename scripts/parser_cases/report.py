"""Owns comparing readings with what is expected, and the table of what came out."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from app.errors import DistillerError
from scripts.parser_cases.cases import Case, Reading
from scripts.parser_cases.reading import Reader, same_calls


class Outcome(StrEnum):
    """How a reading compares with what is expected."""

    SAME = "same"
    SPACE = "space"  # the same but for whitespace at the edges of content and reasoning
    DIFFERS = "differs"


@dataclass(frozen=True)
class Result:
    """What came of a case.

    Attributes:
        got: what the service makes of the text; None where it refuses the request.
        note: why it refuses the request, or how reading in pieces differs.
        refusal: where the grammar refuses the text; empty where it admits all.
    """

    case: Case
    outcome: Outcome
    got: Reading | None
    note: str = ""
    refusal: str = ""


def results_of(cases: Iterable[Case], folder: Path) -> list[Result]:
    """Run cases with the templates of a folder; those of other templates are left out."""
    readers: dict[str, Reader] = {}
    results = []
    for case in cases:
        path = folder / f"{case.template}.jinja"
        if case.template not in readers and path.exists():
            readers[case.template] = Reader(path.read_text(encoding="utf-8"))
        if case.template in readers:
            results.append(_result(readers[case.template], case))
    return results


def _result(reader: Reader, case: Case) -> Result:
    try:
        whole, *others = reader.read(case)
    except DistillerError as error:
        return Result(case, Outcome.DIFFERS, None, f"refused: {error}")
    parted = next((other for other in others if other != whole), None)
    if parted is not None:
        return Result(case, Outcome.DIFFERS, whole, f"in pieces {parted}")
    try:
        refusal = reader.refusal(case)
    except DistillerError as error:
        refusal = f"refused: {error}"
    return Result(case, compared(case.expected, whole), whole, refusal=refusal)


def compared(expected: Reading, got: Reading) -> Outcome:
    """Return how a reading compares with what is expected."""
    if not same_calls(expected, got):
        return Outcome.DIFFERS
    texts = (expected.content, expected.reasoning), (got.content, got.reasoning)
    if texts[0] == texts[1]:
        return Outcome.SAME
    stripped = [tuple(text.strip() for text in pair) for pair in texts]
    return Outcome.SPACE if stripped[0] == stripped[1] else Outcome.DIFFERS


def table(results: Iterable[Result]) -> str:
    """Return how many cases each template has, and what came of them, as Markdown."""
    rows: dict[str, list[int]] = {}
    for result in results:
        for name in (result.case.template, "all"):
            row = rows.setdefault(name, [0] * (len(Outcome) + 2))
            row[0] += 1
            row[1 + list(Outcome).index(result.outcome)] += 1
            row[-1] += bool(result.refusal)
    total = rows.pop("all", [])
    heads = ["template", "cases", *Outcome, "not in grammar"]
    lines = [heads, ["---", *["---:"] * (len(heads) - 1)]]
    lines += [[name, *map(str, row)] for name, row in sorted(rows.items())]
    lines += [["all", *map(str, total)]] if total else []
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def difference(result: Result) -> str:
    """Return a difference, in lines."""
    case = result.case
    tools = ", ".join(tool["function"]["name"] for tool in case.tools)
    given = [
        f"tools {tools}" if tools else "",
        "" if case.enable_thinking else "no thinking",
        "" if case.is_split else "reasoning not split",
        f"continues {case.continues}" if case.continues else "",
        "required" if case.is_required else "",
        "parallel" if case.parallel else "",
        "schema" if case.json_schema else "",
        "cut off" if case.is_partial else "",
    ]
    lines = [
        f"{case.template}, line {case.line} ({'; '.join(filter(None, given))})",
        f"  text      {case.text!r}",
    ]
    if result.outcome is Outcome.DIFFERS:
        lines += [f"  expected  {_shown(case.expected)}"]
        lines += [f"  got       {_shown(result.got)}"] if result.got else []
    lines += [f"  note      {result.note}"] if result.note else []
    lines += [f"  grammar   {result.refusal}"] if result.refusal else []
    return "\n".join(lines)


def _shown(reading: Reading) -> str:
    calls = " ".join(f"{name}({arguments})" for name, arguments in reading.calls)
    return f"reasoning {reading.reasoning!r} content {reading.content!r} calls {calls}"
