"""Routes stand once: what is served, what is documented, and whose errors a path has."""

from __future__ import annotations

import pytest

from app.api.dialect import Dialect
from app.api.route import Route
from app.api.routes import DIALECTS, RouteTable
from app.web.errors import Fault, error_body


async def _handler(*_: object) -> None:
    return None


def shape(fault: Fault) -> dict[str, int]:
    return {"status": fault.status}


OWN = Dialect(
    name="own",
    routes=(
        Route(method="post", path="/own", aliases=("/v1/own",), handler=_handler, summary="Ask"),
        Route(method="get", path="/own/{thing}/x", handler=_handler, summary="Look"),
    ),
    error_body=shape,
    prefix="/own-things/",
    statuses={"queue_full": 503},
)
TABLE = RouteTable([*DIALECTS, OWN])


@pytest.mark.parametrize("path", ["/own", "/v1/own", "/own/", "/own/a/x", "/own-things/unknown"])
def test_a_dialect_has_its_own_errors_on_its_paths(path: str) -> None:
    assert TABLE.error_shape(path) is shape
    assert TABLE.error_statuses(path) == {"queue_full": 503}


@pytest.mark.parametrize("path", ["/", "/own/a", "/own/a/b/x", "/v1/own/x", "/models", "*"])
def test_all_other_paths_have_the_usual_ones(path: str) -> None:
    assert TABLE.error_shape(path) is error_body
    assert not TABLE.error_statuses(path)


def test_no_path_is_served_twice_with_one_method() -> None:
    served = [(route.method, path) for route in TABLE.documented for path in route.paths]
    assert len(set(served)) == len(served)


def test_a_dialects_routes_are_documented_and_have_a_blueprint() -> None:
    assert all(route in TABLE.documented for route in OWN.routes)
    assert "own" in [blueprint.name for blueprint in TABLE.blueprints()]


def test_dialects_have_different_names() -> None:
    names = [dialect.name for dialect in DIALECTS]
    assert len(set(names)) == len(names)
