"""What an engine prints reaches the log with the requests in flight."""

from __future__ import annotations

import subprocess
import sys

from structlog.testing import capture_logs

from app.host.process.stderr_log import StderrLog


async def words_of(code: str) -> tuple[StderrLog, list[str]]:
    """Return what is left of a Python process's stderr, and the texts in the log."""
    words = StderrLog(lambda: {"pid": 7, "request_id": "r1"})
    with capture_logs() as lines:
        process = subprocess.Popen([sys.executable, "-c", code], stderr=subprocess.PIPE)  # noqa: ASYNC220
        await words.watch(process.stderr)
        process.wait()
    assert all((line["event"], line["request_id"]) == ("engine_stderr", "r1") for line in lines)
    return words, [line["text"] for line in lines]


async def test_a_traceback_is_one_line_of_the_log() -> None:
    words, texts = await words_of("def f():\n raise ValueError('broken')\nf()")
    assert words.last_line == "ValueError: broken"
    assert len(texts) == 1
    assert texts[0].startswith("Traceback (most recent call last):\n")
    assert texts[0].endswith("\nValueError: broken")


async def test_the_end_of_a_line_may_be_missing() -> None:
    words, texts = await words_of("import os; os.write(2, b'\\n\\nabort: caf\\xc3')")
    assert (words.last_line, texts) == ("abort: caf\ufffd", ["abort: caf\ufffd"])


async def test_a_process_that_prints_nothing_has_no_last_line() -> None:
    words, texts = await words_of("pass")
    assert (words.last_line, texts) == (None, [])


async def test_a_flood_without_line_breaks_is_cut() -> None:
    words, texts = await words_of("import os\nfor _ in range(50): os.write(2, b'x' * 10000)")
    assert sum(map(len, texts)) == 500_000
    assert max(map(len, texts)) < 300_000
    assert words.last_line


async def test_a_failed_assertion_is_kept_when_a_long_backtrace_follows() -> None:
    words, _ = await words_of(
        "import os; os.write(2, b'/build/x/src/llama-model.cpp:1328: GGML_ASSERT(n > 0) failed\\n'"
        " + b'#1 somewhere\\n' * 200)"
    )
    assert words.exit_line == "llama-model.cpp:1328: GGML_ASSERT(n > 0) failed"
    assert words.last_line == "#1 somewhere"


async def test_an_uncaught_exception_of_cpp_is_kept() -> None:
    words, _ = await words_of(
        "import os; os.write(2, b'terminate called\\n  what():  bad_alloc\\nmore\\n')"
    )
    assert words.exit_line == "what():  bad_alloc"


async def test_without_an_abort_the_last_line_says_why() -> None:
    words, _ = await words_of("raise ValueError('app.py:3: broken')")
    assert words.exit_line == words.last_line == "ValueError: app.py:3: broken"
