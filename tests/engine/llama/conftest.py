"""Fixtures of llama.cpp with the bundled model."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from app.engine.llama import Context, Model
from tests.engine.llama.nano import TEXT, load_model, new_context


@pytest.fixture(scope="session")
def model() -> Model:
    return load_model()


@pytest.fixture
def context(model: Model) -> Iterator[Context]:
    context = new_context(model)
    yield context
    context.close()


@pytest.fixture
def tokens(model: Model) -> list[int]:
    return model.tokenize(TEXT, add_special=True, parse_special=False)
