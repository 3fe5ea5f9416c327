"""Readings are compared with what is expected, and counted by template."""

from __future__ import annotations

import io
import tarfile
from pathlib import Path

import pytest

from scripts.parser_cases.__main__ import main, source_of
from scripts.parser_cases.cases import Case, Reading
from scripts.parser_cases.report import Outcome, Result, compared, difference, results_of, table

TEMPLATE = "{% for m in messages %}{{ m.content }}{% endfor %}<think>"
SOURCE = """
static void test_all() {
  auto tst = peg_tester("models/plain.jinja");
  tst.test("So</think> Yes").reasoning_format(A).expect_reasoning("So").expect_content("Yes").run();
  tst.test("So</think>Yes").reasoning_format(COMMON_REASONING_FORMAT_AUTO)
    .expect_reasoning("So").expect_content("No").run();
  peg_tester("elsewhere.jinja").test("x").run();
}
"""


@pytest.mark.parametrize(
    ("got", "outcome"),
    [
        (Reading("a", "b"), Outcome.SAME),
        (Reading("a\n", " b"), Outcome.SPACE),
        (Reading("a", "c"), Outcome.DIFFERS),
        (Reading("a", "b", (("f", "{}"),)), Outcome.DIFFERS),
    ],
)
def test_a_reading_is_the_same_or_not(got: Reading, outcome: Outcome) -> None:
    assert compared(Reading("a", "b"), got) is outcome


def test_the_table_counts_by_template() -> None:
    case = Case("b", 1, "x", Reading())
    results = [
        Result(case, Outcome.SAME, Reading()),
        Result(case, Outcome.DIFFERS, Reading(), refusal="before 'x'"),
    ]
    assert table(results).splitlines()[2:] == [
        "| b | 2 | 1 | 0 | 1 | 1 |",
        "| all | 2 | 1 | 0 | 1 | 1 |",
    ]
    assert table([]).count("\n") == 1


def test_a_request_that_is_refused_differs(tmp_path: Path) -> None:
    (tmp_path / "a.jinja").write_text("{{ raise_exception('no') }}")
    (result,) = results_of([Case("a", 1, "x", Reading("x"))], tmp_path)
    assert result.outcome is Outcome.DIFFERS
    assert "no" in result.note
    assert "no" in difference(result)


@pytest.mark.parametrize("kind", ["file", "folder", "archive"])
def test_a_source_is_a_file_or_in_a_distribution(kind: str, tmp_path: Path) -> None:
    path = tmp_path / "x" / "tests" / "test-chat.cpp"
    path.parent.mkdir(parents=True)
    path.write_text(SOURCE)
    archive = tmp_path / "x.tar.gz"
    with tarfile.open(archive, "w:gz") as packed:
        member = tarfile.TarInfo("x-1/vendor/tests/test-chat.cpp")
        member.size = len(SOURCE)
        packed.addfile(member, io.BytesIO(SOURCE.encode()))
    places = {"file": path, "folder": tmp_path / "x", "archive": archive}
    assert source_of(places[kind]) == SOURCE


def test_a_folder_without_the_source_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        source_of(tmp_path)


def test_the_command_prints_differences_table_and_what_it_left_out(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "plain.jinja").write_text(TEMPLATE)
    (tmp_path / "x.cpp").write_text(SOURCE)
    main(str(tmp_path / "x.cpp"), str(tmp_path))
    printed = capsys.readouterr().out
    assert "plain, line 5 " in printed
    assert "expected  reasoning 'So' content 'No'" in printed
    assert "| all | 1 | 0 | 0 | 1 | 0 |" in printed
    assert "2 cases; 1 of them without a template here." in printed
    assert "line 4 could not be read: line 4: 'A' is unknown" in printed
