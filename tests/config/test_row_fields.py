"""Settings, requests and the engine take the same values of a parameter."""

from __future__ import annotations

from typing import Any, Literal, get_args, get_origin

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, ValidationError

from app.api.schemas.common import LoadModelConfigs
from app.api.schemas.raw_prompt import RawSamplingFields
from app.api.schemas.reasoning import ReasoningFields
from app.api.schemas.sampling import SamplingFields
from app.config.settings import Settings
from app.parameters.names import STRUCTS
from app.parameters.row import Row, rows


class Request(SamplingFields, ReasoningFields):
    """Takes what any request may give."""


class RawRequest(RawSamplingFields, ReasoningFields):
    """Takes what a request with a raw prompt may give."""


LAYERS: dict[str, type[BaseModel]] = {
    "setting": Settings,
    "request": Request,
    "load": LoadModelConfigs,
}
ROWS = [
    pytest.param(struct, row, id=f"{struct.__name__}.{row.name}")
    for struct in STRUCTS
    for row in rows(struct)
    if row.name != "logit_bias"  # JSON has texts where the engine has token ids
]


def near(row: Row) -> st.SearchStrategy[Any]:
    """Values of the row's type, most of them near its bounds."""
    edges = [row.bounds[name] for name in ("ge", "gt", "le") if name in row.bounds] or [0]
    if row.kind is bool:
        return st.booleans()
    if row.kind is int:
        return st.one_of([st.integers(edge - 2, edge + 2) for edge in edges])
    if row.kind is float:
        return st.one_of([st.floats(edge - 2, edge + 2) for edge in edges])
    if row.kind is str:
        lengths = (0, 1, 2, row.bounds["max_length"], row.bounds["max_length"] + 1)
        return st.sampled_from(["x" * n for n in lengths])
    if get_origin(row.kind) is Literal:
        return st.sampled_from([*get_args(row.kind), "other"])
    return st.lists(st.sampled_from(["", "a", "b\n", "\0", "x" * 20, "x" * 21]), max_size=9)


def takes(model: type[BaseModel], values: dict[str, Any]) -> bool:
    try:
        model.model_validate(values)
    except ValidationError:
        return False
    return True


def decodes(struct: type[msgspec.Struct], values: dict[str, Any]) -> bool:
    try:
        msgspec.convert(values, struct)
    except msgspec.ValidationError:
        return False
    return True


@pytest.mark.parametrize(("struct", "row"), ROWS)
@given(data=st.data())
def test_all_who_may_give_a_value_may_give_the_same_ones(
    struct: type[msgspec.Struct], row: Row, data: st.DataObject
) -> None:
    value = data.draw(near(row))
    is_right = decodes(struct, {row.name: value}) and value not in list(row.details.refused)
    unset = row.is_optional and value == ""
    for layer in row.details.given_by:
        is_clamped = row.details.clamps and value > row.bounds["le"] and layer != "setting"
        # An empty setting is none.
        expected = is_right or is_clamped or (layer == "setting" and unset)
        assert takes(LAYERS[layer], {row.name: value}) == expected, layer


@pytest.mark.parametrize(("struct", "row"), ROWS)
def test_a_setting_and_a_request_tell_what_the_row_tells(
    struct: type[msgspec.Struct], row: Row
) -> None:
    for layer in row.details.given_by:
        text = LAYERS[layer].model_fields[row.name].description or ""
        assert text.lower().startswith(row.description.lower())
    if "setting" in row.details.given_by:
        assert Settings.model_fields[row.name].default == row.default
    if "request" in row.details.given_by:
        aliases = [LAYERS["request"].model_fields[alias] for alias in row.details.aliases]
        assert all(alias.description == f"Another name of {row.name}." for alias in aliases)


def test_the_schema_of_a_request_has_the_bounds() -> None:
    properties = Request.model_json_schema()["properties"]
    for name in ("max_tokens", "n_predict", "reasoning_budget"):
        whole, _ = properties[name]["anyOf"]
        assert whole == {"type": "integer", "minimum": -1, "maximum": 2**24}
    text, _ = properties["logit_bias"]["anyOf"]
    assert text["maxProperties"] == 1024


COUNTS = [
    *("max_tokens", "max_completion_tokens", "n_predict"),
    *("reasoning_budget", "reasoning_budget_tokens", "thinking_budget_tokens"),
    *("top_k", "repeat_last_n", "dry_penalty_last_n", "dry_allowed_length"),
]


@pytest.mark.parametrize("name", COUNTS)
def test_a_count_of_tokens_that_is_too_large_is_the_largest_there_is(name: str) -> None:
    most = 10**6 if name in ("top_k", "dry_allowed_length") else 2**24
    for value in (most, most + 1, 2**31 - 1, 2**63, 10**30):
        for model in (Request, RawRequest):
            assert getattr(model.model_validate({name: value}), name) == most
            assert getattr(model.model_validate_json(f'{{"{name}": {value}}}'), name) == most
    for wrong in (-2, 1e9, True, "16777217"):
        with pytest.raises(ValidationError):
            Request.model_validate({name: wrong})


def test_a_context_window_that_is_too_large_is_lowered_and_a_setting_is_not() -> None:
    assert LoadModelConfigs.model_validate({"n_ctx": 2**40}).overrides() == {"n_ctx": 2**24}
    for name in ("max_tokens", "reasoning_budget", "n_ctx"):
        with pytest.raises(ValidationError):
            Settings.model_validate({name: 2**24 + 1})


def test_only_an_answer_to_a_raw_prompt_may_be_empty() -> None:
    assert RawSamplingFields.model_validate({"max_tokens": 0}).has_limit
    with pytest.raises(ValidationError, match="must be at least 1, or -1 for no limit"):
        SamplingFields.model_validate({"n_predict": 0})


def test_settings_that_are_rows_are_had_as_their_struct() -> None:
    for struct in STRUCTS:
        assert Settings().part(struct) == struct()
