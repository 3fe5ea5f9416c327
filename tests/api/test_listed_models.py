"""Models as clients list them: what is told of each, and Anthropic's pages."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from app.api.listed_models import Listed, anthropic_page, entry
from app.api.schemas.service import ModelEntry
from app.errors import InvalidRequest
from app.host.serving import Status
from app.host.supervisor import Supervisor
from app.models.catalog import Catalog, ModelFile
from tests.models.gguf_files import write_llama


def listed(name: str, *aliases: str) -> Listed:
    return Listed(ModelFile(name, Path(name), 9, 1_700_000_000.5), aliases, None)


MODELS = [listed("a.gguf", "x", "y"), listed("b.gguf"), listed("c.gguf", "z")]
IDS = ["a.gguf", "x", "y", "b.gguf", "c.gguf", "z"]


def supervisor_in(status: Status, fraction: float | None = None) -> Supervisor:
    fake = SimpleNamespace(status=status, serving=status.serving, load_fraction=fraction)
    return cast(Supervisor, fake)


def described(status: Status, fraction: float | None = None) -> dict[str, Any]:
    found: dict[str, Any] = entry(listed("a.gguf", "x"), supervisor_in(status, fraction))["status"]
    return found


def page_of(query: dict[str, str], models: Sequence[Listed] = MODELS) -> dict[str, Any]:
    return anthropic_page(models, query, supervisor_in(Status()))


def test_an_entry_tells_what_the_header_tells(tmp_path: Path) -> None:
    write_llama(tmp_path / "m.gguf")
    catalog = Catalog(tmp_path)
    (file,) = catalog.entries()
    body = entry(Listed(file, (), catalog.facts(file)), supervisor_in(Status()))
    ModelEntry.model_validate(body, strict=True)
    assert body["id"] == "m.gguf"
    assert body["meta"]["n_ctx_train"] == catalog.facts(file).n_ctx_train
    assert (body["meta"]["n_ctx"], body["loaded"]) == (None, False)


def test_a_file_that_cannot_be_read_any_more_has_no_shape() -> None:
    assert entry(MODELS[0], supervisor_in(Status()))["meta"] is None


def test_the_status_is_that_of_the_load() -> None:
    status = Status()
    assert described(status) == {"value": "unloaded"}
    with contextlib.suppress(RuntimeError), status.attempt("a.gguf"):
        assert described(status, 0.25) == {"value": "loading", "progress": 0.25}
        raise RuntimeError("no memory")
    failed = {"value": "failed", "failed": True, "message": "RuntimeError: no memory"}
    assert described(status) == failed
    status.begin_load("a.gguf", "")
    assert described(status)["value"] == "loading"


def test_the_first_page_has_twenty_entries() -> None:
    many = [listed(f"{number:02}.gguf") for number in range(21)]
    page = page_of({}, many)
    assert (len(page["data"]), page["has_more"], page["last_id"]) == (20, True, "19.gguf")
    assert not page_of({}, many[:20])["has_more"]


@pytest.mark.parametrize(
    ("query", "ids", "more"),
    [
        ({"limit": "6"}, IDS, False),
        ({"limit": "1000"}, IDS, False),
        ({"limit": "9999"}, IDS, False),
        ({"limit": "2"}, IDS[:2], True),
        ({"limit": "2", "after_id": "x"}, IDS[2:4], True),
        ({"limit": "2", "after_id": "b.gguf"}, IDS[4:], False),
        ({"after_id": "z"}, [], False),
        ({"limit": "2", "before_id": "c.gguf"}, IDS[2:4], True),
        ({"limit": "4", "before_id": "c.gguf"}, IDS[:4], False),
        ({"before_id": "a.gguf"}, [], False),
    ],
)
def test_pages_follow_one_another(query: dict[str, str], ids: list[str], more: bool) -> None:
    page = page_of(query)
    assert ([model["id"] for model in page["data"]], page["has_more"]) == (ids, more)
    ends = (ids[0], ids[-1]) if ids else (None, None)
    assert (page["first_id"], page["last_id"]) == ends


def test_all_pages_together_are_all_models() -> None:
    found: list[str] = []
    query = {"limit": "1"}
    while (page := page_of(query))["data"]:
        found.append(page["last_id"])
        query["after_id"] = page["last_id"]
    assert found == IDS


@pytest.mark.parametrize("limit", ["0", "-1", "1.5", "x", "1e3", "٣", "99999999999", "00000"])
def test_a_wrong_limit_is_refused(limit: str) -> None:
    with pytest.raises(InvalidRequest) as refused:
        page_of({"limit": limit})
    assert refused.value.param == "limit"


@pytest.mark.parametrize("param", ["after_id", "before_id"])
def test_a_page_beside_an_unknown_model_is_refused(param: str) -> None:
    with pytest.raises(InvalidRequest) as refused:
        page_of({param: "nope"})
    assert refused.value.param == param


def test_a_model_has_a_name_for_people_and_a_time() -> None:
    first, alias, *_ = page_of({})["data"]
    assert first == {
        "type": "model",
        "id": "a.gguf",
        "display_name": "a",
        "created_at": "2023-11-14T22:13:20Z",
        "lifecycle": "active",
        "max_input_tokens": None,
        "max_tokens": None,
    }
    assert alias["display_name"] == "x"
