"""What a request says of sampling: converted silently nowhere, named in the documentation."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel, ValidationError

from app.api.schemas.common import LoadModelConfigs
from app.api.schemas.sampling import InferenceConfigs, SamplingFields

DOCS = Path(__file__).parents[3] / "docs" / "api.md"


@pytest.mark.parametrize(
    ("values", "reason"),
    [
        ({"temperature": "1"}, "Input should be a valid number"),
        ({"temperature": 101}, "Input should be less than or equal to 100"),
        ({"top_k": 1.0}, "Input should be a valid integer"),
        ({"top_p": float("nan")}, "Input should be a finite number"),
        ({"seed": 2**63}, "Input should be less than or equal to 9223372036854775807"),
        ({"dry_sequence_breakers": ["a\0"]}, "String should match pattern"),
        ({"logit_bias": {"1": 101}}, "Input should be less than or equal to 100"),
        ({"stop": ["x"] * 17}, "List should have at most 16 items"),
    ],
)
def test_a_wrong_value_is_refused_with_the_reason(values: dict[str, Any], reason: str) -> None:
    with pytest.raises(ValidationError, match=reason):
        SamplingFields.model_validate(values)


def test_nothing_is_given_by_default() -> None:
    assert SamplingFields().model_dump(exclude_none=True) == {}


def test_only_inference_configs_refuse_what_they_do_not_know() -> None:
    SamplingFields.model_validate({"temprature": 1})
    with pytest.raises(ValidationError, match="Extra inputs are not permitted"):
        InferenceConfigs.model_validate({"temprature": 1})


@pytest.mark.parametrize("schema", [SamplingFields, LoadModelConfigs])
def test_the_documentation_names_every_field(schema: type[BaseModel]) -> None:
    text = re.sub(r"(?ms)^```.*?^```$", "", DOCS.read_text())
    named = set(re.findall(r"\w+", " ".join(re.findall(r"`([^`]+)`", text))))
    assert schema.model_fields.keys() <= named
