"""`/props` and `/slots` describe the model that serves, by llama-server's names."""

from __future__ import annotations

import json
from types import SimpleNamespace
from typing import Any

import msgspec
import pytest

from app.api.defaults import Defaults
from app.api.dialects.llama_completion.schemas import PropsResponse, SlotsResponse
from app.api.dialects.llama_completion.views import props, slots
from app.errors import EngineUnavailable, NoModelLoaded
from app.host.serving import Status
from app.models.settings_file import NO_SETTINGS
from app.parameters.sampling import SamplingParams
from tests.api.endpoints.handler_requests import request_to
from tests.host.fake_engine import INFO


def service(n_requests: int = 0) -> Any:
    info = msgspec.structs.replace(
        INFO,
        chat_template="{{ messages }}",
        template_takes={"supports_tools": True},
        bos_token="<s>",
        eos_token="</s>",
    )
    serving = SimpleNamespace(
        name="m.gguf",
        info=info,
        parallel=2,
        engine=SimpleNamespace(n_requests=n_requests),
        plan=SimpleNamespace(params=SimpleNamespace(seed=None), settings=NO_SETTINGS),
    )
    return SimpleNamespace(
        supervisor=SimpleNamespace(serving=serving),
        defaults=Defaults(sampling=SamplingParams(temperature=0.25)),
    )


def idle() -> Any:
    return SimpleNamespace(supervisor=SimpleNamespace(serving=None, status=Status()))


async def test_props_describe_the_model_and_the_defaults() -> None:
    response = await props(request_to(service()))
    found = json.loads(response.body or b"")
    assert found["default_generation_settings"]["n_ctx"] == INFO.n_ctx
    assert found["default_generation_settings"]["params"]["temperature"] == 0.25
    assert found["total_slots"] == 2
    assert found["model_alias"] == found["model_path"] == "m.gguf"
    assert found["modalities"] == {"vision": False, "audio": False, "video": False}
    assert found["chat_template"] == "{{ messages }}"
    assert found["chat_template_caps"] == {"supports_tools": True}
    assert (found["bos_token"], found["eos_token"]) == ("<s>", "</s>")
    PropsResponse.model_validate(found)


@pytest.mark.parametrize(("n_requests", "taken"), [(0, 0), (1, 1), (2, 2), (9, 2)])
async def test_slots_tell_which_are_taken(n_requests: int, taken: int) -> None:
    response = await slots(request_to(service(n_requests), args={}))
    found = json.loads(response.body or b"")
    assert [slot["id"] for slot in found] == [0, 1]
    assert sum(slot["is_processing"] for slot in found) == taken
    SlotsResponse.model_validate(found)


async def test_a_client_may_ask_for_an_error_where_all_slots_are_taken() -> None:
    arguments = {"fail_on_no_slot": "1"}
    assert (await slots(request_to(service(1), args=arguments))).status == 200
    with pytest.raises(EngineUnavailable, match="no slot available"):
        await slots(request_to(service(2), args=arguments))


@pytest.mark.parametrize("view", [props, slots])
async def test_without_a_model_there_is_nothing_to_describe(view: Any) -> None:
    with pytest.raises(NoModelLoaded):
        await view(request_to(idle(), args={}))
