"""Models come into the folder whole or not at all, and leave it by name."""

from __future__ import annotations

import errno
import fcntl
import os
import shutil
import stat
from collections import namedtuple
from pathlib import Path
from typing import Any

import pytest

from app.cli.main import main
from app.models.catalog import Catalog
from app.models.settings_file import ModelSettings, write_settings
from app.models.store import (
    FolderUnwritable,
    ModelRefused,
    add_model,
    link_model,
    remove_model,
)
from tests.live.server import MODELS, NANO
from tests.models.gguf_files import write_llama

Usage = namedtuple("Usage", "total used free")


@pytest.fixture
def models(tmp_path: Path) -> Path:
    folder = tmp_path / "models"
    folder.mkdir()
    return folder


@pytest.fixture
def source(tmp_path: Path) -> Path:
    path = tmp_path / "tiny.gguf"
    write_llama(path, padding=1024)
    path.chmod(0o600)
    return path


def files(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_a_model_is_copied_under_its_own_name(models: Path, source: Path) -> None:
    (added,) = add_model(models, source)
    assert added == models / "tiny.gguf"
    assert added.read_bytes() == source.read_bytes()
    assert stat.S_IMODE(added.stat().st_mode) == 0o644
    assert (added.stat().st_uid, added.stat().st_gid) == (
        models.stat().st_uid,
        models.stat().st_gid,
    )
    assert files(models) == ["tiny.gguf"]


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")
def test_a_model_belongs_to_whom_the_folder_belongs(models: Path, source: Path) -> None:
    os.chown(models, 12345, 54321)
    (added,) = add_model(models, source)
    assert (added.stat().st_uid, added.stat().st_gid) == (12345, 54321)


@pytest.mark.parametrize("name", ["other", "other.gguf"])
def test_a_model_is_copied_under_another_name(models: Path, source: Path, name: str) -> None:
    add_model(models, source, name)
    assert Catalog(models).names() == ["other.gguf"]


@pytest.mark.parametrize(
    "name",
    [
        "../out",
        "/etc/x",
        "a/b",
        "..",
        ".",
        "",
        ".hidden",
        "~x",
        "mmproj-x",
        "a\0b",
        "a\nb",
        "x" * 250,
    ],
)
def test_a_name_that_is_no_models_name_is_refused(models: Path, source: Path, name: str) -> None:
    with pytest.raises(ModelRefused):
        add_model(models, source, name)
    assert files(models) == []
    assert files(models.parent) == ["models", "tiny.gguf"]


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"<html>404 not found</html> and some more of it", "does not begin with 'GGUF'"),
        (b"", "too short"),
    ],
)
def test_what_is_no_model_is_refused(
    models: Path, source: Path, content: bytes, reason: str
) -> None:
    source.write_bytes(content)
    with pytest.raises(ModelRefused, match=reason):
        add_model(models, source)
    assert files(models) == []


def test_a_download_that_broke_off_in_the_header_is_refused(models: Path, source: Path) -> None:
    source.write_bytes(source.read_bytes()[:200])
    with pytest.raises(ModelRefused, match="not a valid GGUF"):
        add_model(models, source)


def test_what_is_no_file_is_refused(models: Path, tmp_path: Path) -> None:
    for path in (tmp_path / "nowhere.gguf", models):
        with pytest.raises(ModelRefused, match="cannot be read"):
            add_model(models, path, "x")
    assert files(models) == []


def test_a_model_of_that_name_is_replaced_only_by_force(models: Path, source: Path) -> None:
    add_model(models, source)
    write_llama(source, padding=4096)
    with pytest.raises(ModelRefused, match="--force"):
        add_model(models, source)
    add_model(models, source, force=True)
    assert (models / "tiny.gguf").read_bytes() == source.read_bytes()


@pytest.mark.parametrize("force", [False, True])
def test_a_name_that_only_unicode_tells_from_another_is_refused(
    models: Path, source: Path, force: bool
) -> None:
    (added,) = add_model(models, source, "caf\u00e9")
    with pytest.raises(ModelRefused, match="another Unicode form"):
        add_model(models, source, "cafe\u0301", force=force)
    assert files(models) == [added.name]
    assert remove_model(models, "cafe\u0301") == [added]


@pytest.mark.parametrize(
    ("changes", "what"),
    [
        ({"general__type": "adapter"}, "is a LoRA adapter"),
        ({"general__architecture": "clip"}, "is a projector"),
        ({"general__architecture": "bert"}, "is an embedding model"),
        ({"tensors": ()}, "is a vocabulary without weights"),
    ],
)
def test_a_file_that_cannot_serve_is_refused_with_what_it_is(
    models: Path, source: Path, changes: dict[str, Any], what: str
) -> None:
    write_llama(source, **changes)
    with pytest.raises(ModelRefused, match=what):
        add_model(models, source)
    assert files(models) == []


def test_a_file_is_not_copied_onto_itself(models: Path, source: Path) -> None:
    (added,) = add_model(models, source)
    with pytest.raises(ModelRefused, match="are the same file"):
        add_model(models, added, force=True)
    assert added.read_bytes() == source.read_bytes()


def test_a_twentieth_of_the_disk_stays_free(
    models: Path, source: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    size = source.stat().st_size
    total = 100 * size
    for free, fits in ((6 * size, True), (6 * size - 1, False)):
        monkeypatch.setattr(shutil, "disk_usage", lambda _, free=free: Usage(total, 0, free))
        if fits:
            add_model(models, source)
            continue
        with pytest.raises(ModelRefused, match="not enough space"):
            add_model(models, source, "second")
    assert files(models) == ["tiny.gguf"]


def test_a_copy_that_fails_leaves_nothing_behind(
    models: Path, source: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> int:
        assert Catalog(models).names() == []
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "sendfile", full)
    with pytest.raises(ModelRefused, match="No space left"):
        add_model(models, source)
    assert files(models) == []


def test_an_interrupted_copy_leaves_nothing_behind(
    models: Path, source: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*_: object) -> int:
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "sendfile", interrupted)
    with pytest.raises(KeyboardInterrupt):
        add_model(models, source)
    assert files(models) == []


def test_what_a_power_cut_left_is_overwritten(models: Path, source: Path) -> None:
    (models / ".tiny.gguf.part").write_bytes(b"x" * 100_000)
    assert Catalog(models).names() == []
    (added,) = add_model(models, source)
    assert added.read_bytes() == source.read_bytes()
    assert files(models) == ["tiny.gguf"]


def test_two_commands_do_not_write_the_same_model(models: Path, source: Path) -> None:
    with (models / ".tiny.gguf.part").open("wb") as other:
        fcntl.flock(other, fcntl.LOCK_EX)
        with pytest.raises(ModelRefused, match="another command"):
            add_model(models, source)


def test_a_split_model_comes_and_goes_with_all_its_parts(models: Path, tmp_path: Path) -> None:
    names = [f"big-0000{n}-of-00002.gguf" for n in (1, 2)]
    for name in names:
        write_llama(tmp_path / name)
    add_model(models, tmp_path / names[0])
    assert files(models) == names
    assert [path.name for path in remove_model(models, names[0])] == names
    assert files(models) == []


def test_a_model_whose_end_is_missing_is_refused(models: Path, tmp_path: Path) -> None:
    whole = (MODELS / NANO).read_bytes()
    (tmp_path / "cut.gguf").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(ModelRefused, match="is the file complete"):
        add_model(models, tmp_path / "cut.gguf")
    assert files(models) == []


def test_a_split_model_that_lacks_a_part_is_refused(models: Path, tmp_path: Path) -> None:
    write_llama(tmp_path / "big-00001-of-00002.gguf")
    with pytest.raises(ModelRefused, match="00002-of-00002"):
        add_model(models, tmp_path / "big-00001-of-00002.gguf")
    assert files(models) == []


@pytest.mark.parametrize("name", ["tiny", "tiny.gguf"])
def test_a_model_is_removed_by_name(models: Path, source: Path, name: str) -> None:
    add_model(models, source)
    remove_model(models, name)
    assert files(models) == []
    assert source.exists()


@pytest.mark.parametrize("name", ["nothing", "../tiny.gguf", "notes.txt"])
def test_what_is_no_model_of_the_folder_is_not_removed(
    models: Path, source: Path, name: str
) -> None:
    (models / "notes.txt").write_text("keep")
    with pytest.raises(ModelRefused, match="not found"):
        remove_model(models, name)
    assert files(models) == ["notes.txt"]
    assert source.exists()


def test_the_commands_say_what_they_did(
    models: Path, source: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = ["--models-dir", str(models)]
    assert main(["models", "add", str(source), "--name", "new", *folder]) == 0
    assert capsys.readouterr().out.startswith("added new.gguf (")
    assert main(["models", "add", str(source), "--name", "new", *folder]) == 1
    assert "--force" in capsys.readouterr().err
    assert main(["models", "add", str(source), "--name", "new", "--force", *folder]) == 0
    capsys.readouterr()
    assert main(["models", "remove", "new", *folder]) == 0
    out, err = capsys.readouterr()
    assert out == f"removed new.gguf from {models}\n"
    assert "loaded" in err
    assert main(["models", "remove", "new", *folder]) == 1
    assert "not found" in capsys.readouterr().err


def test_without_a_models_folder_nothing_is_made(
    source: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    missing = tmp_path / "missing"
    assert main(["models", "add", str(source), "--models-dir", str(missing)]) == 1
    assert f"the models folder {missing} does not exist" in capsys.readouterr().err
    assert not missing.exists()


# ---------------------------------------------------------------- second names


def test_a_second_name_is_the_same_file(tmp_path: Path) -> None:
    write_llama(tmp_path / "a.gguf")
    link_model(tmp_path / "a.gguf", tmp_path / "b.gguf")
    link_model(tmp_path / "a.gguf", tmp_path / "b.gguf")
    assert (tmp_path / "b.gguf").samefile(tmp_path / "a.gguf")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.gguf", "b.gguf"]


def test_a_second_name_replaces_another_file_only_where_that_is_wanted(tmp_path: Path) -> None:
    write_llama(tmp_path / "a.gguf")
    write_llama(tmp_path / "b.gguf")
    with pytest.raises(ModelRefused, match="already exists"):
        link_model(tmp_path / "a.gguf", tmp_path / "b.gguf")
    link_model(tmp_path / "a.gguf", tmp_path / "b.gguf", replace=True)
    assert (tmp_path / "b.gguf").samefile(tmp_path / "a.gguf")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.gguf", "b.gguf"]


def test_a_second_name_that_cannot_be_made_leaves_nothing(tmp_path: Path) -> None:
    write_llama(tmp_path / "a.gguf")
    with pytest.raises(FolderUnwritable, match="cannot be written"):
        link_model(tmp_path / "a.gguf", tmp_path / "missing" / "b.gguf")
    (tmp_path / "b.gguf").mkdir()
    with pytest.raises(FolderUnwritable, match="cannot be written"):
        link_model(tmp_path / "a.gguf", tmp_path / "b.gguf", replace=True)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.gguf", "b.gguf"]


def test_settings_go_with_their_model(tmp_path: Path) -> None:
    write_llama(tmp_path / "a.gguf")
    write_settings(tmp_path / "a.gguf", ModelSettings(system="x"))
    assert remove_model(tmp_path, "a") == [tmp_path / "a.gguf"]
    assert list(tmp_path.iterdir()) == []


def test_a_file_may_move_where_there_are_no_hard_links(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(_source: Path, _target: Path) -> None:
        raise OSError(errno.EPERM, "Operation not permitted")

    monkeypatch.setattr(os, "link", refuse)
    write_llama(tmp_path / "a.gguf")
    with pytest.raises(FolderUnwritable, match=r"hard link\) of a\.gguf: Operation not permitted"):
        link_model(tmp_path / "a.gguf", tmp_path / "b.gguf")
    link_model(tmp_path / "a.gguf", tmp_path / "b.gguf", move=True)
    assert [path.name for path in tmp_path.iterdir()] == ["b.gguf"]
