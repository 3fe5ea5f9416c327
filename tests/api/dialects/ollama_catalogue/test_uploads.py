"""An upload that fails is cleared away where it holds up no other request."""

from __future__ import annotations

import threading
from collections.abc import AsyncIterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
from sanic import Request
from sanic.exceptions import RequestTimeout

from app.api.dialects.ollama_catalogue import uploads
from app.models.content.blobs import Upload


def files(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_file()]


async def test_a_failed_upload_is_removed_off_the_event_loop(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    removing: list[threading.Thread] = []
    close = Upload.close

    def note(upload: Upload) -> None:
        removing.append(threading.current_thread())
        close(upload)

    async def blocks(_request: Any) -> AsyncIterator[bytes]:
        yield b"some"
        raise RequestTimeout("too slow")

    monkeypatch.setattr(Upload, "close", note)
    monkeypatch.setattr(uploads, "_blocks", blocks)
    monkeypatch.setattr(
        uploads,
        "service_of",
        lambda _request: SimpleNamespace(catalog=SimpleNamespace(models_dir=tmp_path)),
    )
    with pytest.raises(RequestTimeout):
        await uploads._receive(cast(Request, SimpleNamespace(headers={})), "0" * 64)
    assert len(removing) == 1
    assert removing[0] is not threading.main_thread()
    assert files(tmp_path) == []
