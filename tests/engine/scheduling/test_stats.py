"""The engine's figures are posted a few times a second, and whenever they are due."""

from __future__ import annotations

from app.protocol import Stats
from tests.engine.fake_engine import Engine, generate


def posted(engine: Engine) -> list[Stats]:
    return [event for event in engine.events if isinstance(event, Stats)]


def test_the_figures_are_those_of_the_moment() -> None:
    engine = Engine([], parallel=1)
    for name in "abc":
        engine.command_handler.handle(generate(name, [1] * 9))
    engine.loop.step()
    engine.loop._stats.report(is_due=True)
    (stats,) = posted(engine)
    assert (stats.waiting, stats.running, stats.kv_tokens) == (2, 1, 8)


def test_figures_are_not_posted_twice_in_a_moment_unless_they_are_due() -> None:
    reporter = (engine := Engine([])).loop._stats
    reporter.report(is_due=False)
    reporter.report(is_due=False)
    assert len(posted(engine)) == 1
    reporter.report(is_due=True)
    assert len(posted(engine)) == 2


def test_heads_that_change_are_hints_without_their_words() -> None:
    prompts = [[2, 3, 4, number, *[5, 6, 7, 8] * 49] for number in range(6)]
    script = [[generate(f"r{at}", each, 1)] for at, each in enumerate(prompts)]
    engine = Engine(script, parallel=1).run()
    hints = [stats.hints for stats in posted(engine)]
    assert hints[0] == []
    assert hints[-1] == [engine.heads.found[0].message]
