"""The table of architectures is that of the library that loads them."""

from __future__ import annotations

import re
from pathlib import Path

import llama_cpp
import pytest

from app.engine.llama import Model, route_logs
from app.errors import ModelLoadFailed
from app.models.architectures import KNOWN, NOT_SERVED
from app.protocol import LoadParams
from tests.models.gguf_files import header

PARAMS = LoadParams(n_ctx=256, n_threads=1)
NAMED = re.compile(rb"[a-z][a-z0-9]*(?:[-_.][a-z0-9]+)*")
AROUND = 4096


def is_known(folder: Path, architecture: str) -> bool:
    """Whether llama.cpp gets past the architecture of a file that has nothing else."""
    path = folder / "m.gguf"
    path.write_bytes(header({"general.architecture": architecture}) + bytes(64))
    with pytest.raises(ModelLoadFailed) as refused:
        Model(path, PARAMS, lambda _: None)
    return "unknown model architecture" not in refused.value.message


@pytest.fixture(autouse=True)
def logs_are_heard() -> None:
    route_logs(lambda _level, _text: None)


def test_llama_cpp_knows_every_architecture_of_the_table(tmp_path: Path) -> None:
    assert [name for name in sorted(KNOWN) if not is_known(tmp_path, name)] == []
    assert not is_known(tmp_path, "klingon")


def test_the_table_has_every_architecture_that_llama_cpp_knows(tmp_path: Path) -> None:
    library = (Path(llama_cpp.__file__).parent / "lib" / "libllama.so").read_bytes()
    near = {m.start() for name in ("jina-bert-v2", "falcon-h1", "qwen3next", "wavtokenizer-dec")
            for m in re.finditer(rb"\0" + name.encode() + rb"\0", library)}  # fmt: skip
    assert near
    strings = {
        text.decode()
        for at in near
        for text in library[max(0, at - AROUND) : at + AROUND].split(b"\0")
        if NAMED.fullmatch(text)
    }
    assert KNOWN & strings
    assert sorted(name for name in strings - KNOWN if is_known(tmp_path, name)) == []


def test_what_is_not_served_is_known() -> None:
    assert NOT_SERVED.keys() <= KNOWN
