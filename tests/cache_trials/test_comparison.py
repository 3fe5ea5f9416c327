"""Answers of warm and cold runs are equal but for rounding, or a sentence says where not."""

from __future__ import annotations

from scripts.cache_trials.comparison import Token, compare

END = b"<end>"


def token(text: str, logprob: float, **others: float) -> Token:
    return Token(text.encode(), logprob, {key.encode(): value for key, value in others.items()})


def test_the_same_tokens_with_logprobs_close_by_are_equal() -> None:
    warm = [token("a", -1.0), token("b", -0.5)]
    cold = [token("a", -1.05), token("b", -0.5)]
    found = compare(warm, cold)
    assert (found.parts_at, found.fault) == (None, "")
    assert abs(found.worst - 0.05) < 1e-9


def test_a_logprob_further_away_before_any_parting_is_a_fault() -> None:
    warm = [token("a", -1.0), token("b", -0.5)]
    cold = [token("a", -1.0), token("b", -0.7)]
    found = compare(warm, cold)
    assert found.parts_at is None
    assert found.fault == "token 1 'b': logprob -0.500, cold -0.700"


def test_texts_part_where_both_runs_find_the_candidates_equally_likely() -> None:
    warm = [token("a", -1.0), token("b", -0.70, c=-0.72), token("x", -9.0)]
    cold = [token("a", -1.0), token("c", -0.71, b=-0.73), token("y", -0.1)]
    found = compare(warm, cold)
    assert (found.parts_at, found.fault) == (1, "")


def test_what_follows_a_parting_is_not_compared() -> None:
    warm = [token("b", -0.70, c=-0.72), token("same", -9.0)]
    cold = [token("c", -0.71, b=-0.73), token("same", -0.1)]
    assert compare(warm, cold).fault == ""


def test_candidates_that_one_run_finds_far_apart_are_a_fault() -> None:
    warm = [token("b", -0.70, c=-0.72)]
    cold = [token("c", -0.40, b=-0.90)]
    assert compare(warm, cold).fault == "token 0 is 'b', cold 'c': 0.500 apart"
    assert compare(cold, warm).fault == "token 0 is 'c', cold 'b': 0.500 apart"


def test_a_candidate_that_is_not_among_the_likeliest_is_a_fault() -> None:
    warm = [token("b", -0.70, d=-0.72)]
    cold = [token("c", -0.71, b=-0.73)]
    assert "not among the likeliest" in compare(warm, cold).fault


def test_an_answer_may_end_where_its_end_was_as_likely_as_the_token() -> None:
    warm = [token("a", -1.0)]
    near = [token("a", -1.0), Token(b"b", -0.70, {END: -0.75})]
    far = [token("a", -1.0), Token(b"b", -0.70, {END: -2.75})]
    for one, other in ((warm, near), (near, warm)):
        assert compare(one, other, ends=[END]).fault == ""
        assert compare(one, other, ends=[END]).parts_at == 1
    assert "the end" in compare(warm, far, ends=[END]).fault
    assert "the end" in compare(warm, near).fault


def test_tokens_that_only_a_grammar_chose_are_not_compared() -> None:
    warm, cold = [token("{", -800.0), token("a", -1.0)], [token("{", -812.0), token("a", -1.0)]
    assert compare(warm, cold).fault == ""
    assert compare([token("{", -800.0)], [token("{", -3.0)]).fault


def test_empty_answers_are_equal() -> None:
    assert compare([], []).fault == ""
