"""Sampling values are read alike for all dialects: from several places, with a model's bounds."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import BaseModel

from app.api.chat.sampling import read_sampling
from app.api.defaults import Defaults
from app.api.schemas.sampling import InferenceConfigs, SamplingFields
from app.errors import InvalidRequest
from app.protocol import SamplingParams
from tests.api.requests import served
from tests.host.fake_engine import INFO


class Small(BaseModel):
    """What a dialect may take of the sampling values, and more of its own."""

    temperature: float | None = None
    max_tokens: int | None = None
    echo: bool = False


def test_where_a_request_says_nothing_the_models_defaults_hold() -> None:
    defaults = Defaults(sampling=SamplingParams(top_k=7), max_tokens=50)
    asked = read_sampling(served(defaults), None)
    assert (asked.sampling, asked.max_tokens, asked.stop) == (defaults.sampling, 50, [])


def test_later_places_win_and_leave_alone_what_they_do_not_name() -> None:
    first = SamplingFields.model_validate({"temperature": 0.5, "top_k": 7, "n_predict": 3})
    second = InferenceConfigs.model_validate({"temperature": 0.25})
    asked = read_sampling(served(), first, None, second)
    assert (asked.sampling.temperature, asked.sampling.top_k) == (0.25, 7)
    assert asked.max_tokens == 3


def test_a_dialect_may_take_only_some_of_the_values() -> None:
    asked = read_sampling(served(), Small(temperature=0.5, max_tokens=-1, echo=True))
    assert (asked.sampling.temperature, asked.max_tokens) == (0.5, None)


@pytest.mark.parametrize("name", ["repeat_last_n", "dry_penalty_last_n"])
def test_minus_one_is_the_models_context(name: str) -> None:
    fields: dict[str, Any] = {name: -1}
    assert getattr(read_sampling(served(), SamplingFields(**fields)).sampling, name) == INFO.n_ctx


def test_a_bias_is_for_tokens_of_the_models_vocabulary() -> None:
    given = SamplingFields.model_validate({"logit_bias": {str(INFO.n_vocab): 1.0}})
    with pytest.raises(InvalidRequest) as refused:
        read_sampling(served(), given)
    assert refused.value.param == "logit_bias"


@pytest.mark.parametrize(
    ("stop", "used"), [(None, ["END"]), ([], []), ("x", ["x"]), (["x", "y"], ["x", "y"])]
)
def test_the_models_stop_strings_hold_unless_a_request_has_its_own(
    stop: Any, used: list[str]
) -> None:
    defaults = Defaults(sampling=SamplingParams(), stop=("END",))
    given = InferenceConfigs.model_validate({"stop": stop})
    assert read_sampling(served(defaults), given).stop == used
