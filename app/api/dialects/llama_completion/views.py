"""Owns llama-server's views of the model that serves: `/props` and `/slots`."""

from __future__ import annotations

from sanic import HTTPResponse, Request

from app.api.answering.served import served_model
from app.api.chat.sampling import read_sampling
from app.api.dialects.llama_completion.bodies import settings_body
from app.api.dialects.llama_completion.schemas import NativeCompletionRequest
from app.api.service import Service, service_of
from app.errors import EngineUnavailable
from app.host.serving import Serving
from app.protocol import Generate
from app.web.json_body import json_response


async def props(request: Request) -> HTTPResponse:
    """Return what the model is, and what requests get that ask for nothing else."""
    service = service_of(request)
    serving = _serving(service)
    model, info = served_model(serving, service.defaults), serving.info
    asked = read_sampling(model, NativeCompletionRequest(prompt=""))
    command = Generate(
        request_id="", sampling=asked.sampling, max_tokens=asked.max_tokens, stop=asked.stop
    )
    return json_response(
        {
            "default_generation_settings": {
                "params": settings_body(command, n_ctx=info.n_ctx, stream=False),
                "n_ctx": info.n_ctx,
            },
            "total_slots": serving.parallel,
            "model_alias": serving.name,
            "model_path": serving.name,
            "modalities": {"vision": False, "audio": False, "video": False},
            "chat_template": info.chat_template,
            "chat_template_caps": info.template_takes,
            "bos_token": info.bos_token,
            "eos_token": info.eos_token,
            "build_info": info.fingerprint,
            "endpoint_slots": True,
            "endpoint_props": False,
            "endpoint_metrics": True,
            "is_sleeping": False,
        }
    )


async def slots(request: Request) -> HTTPResponse:
    """Return the places for requests, and which of them are taken."""
    serving = _serving(service_of(request))
    n_taken = min(serving.engine.n_requests, serving.parallel)
    if request.args.get("fail_on_no_slot") and n_taken == serving.parallel:
        raise EngineUnavailable("no slot available")
    return json_response(
        [
            {
                "id": number,
                "n_ctx": serving.info.n_ctx,
                "speculative": not serving.info.no_speculation,
                "is_processing": number < n_taken,
            }
            for number in range(serving.parallel)
        ]
    )


def _serving(service: Service) -> Serving:
    """Return the model that serves.

    Raises:
        DistillerError: none does.
    """
    serving = service.supervisor.serving
    if serving is None:
        raise service.supervisor.status.refusal()
    return serving
