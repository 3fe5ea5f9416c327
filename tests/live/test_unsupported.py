"""What clients ask for and the service lacks is said to be missing, not an unknown path.

Covers `app.api.endpoints.unsupported`.
"""

from __future__ import annotations

import pytest

from tests.live.server import LiveServer


@pytest.mark.parametrize("path", ["/v1/embeddings", "/embeddings", "/v1/rerank", "/rerank"])
def test_it_is_a_501_that_says_what_is_missing(server: LiveServer, path: str) -> None:
    answer = server.http.post(path, json={"model": "any", "input": ["a"]})
    assert answer.status_code == 501
    assert answer.json()["error"]["code"] == "not_supported"
    assert "this service" in answer.json()["error"]["message"]
