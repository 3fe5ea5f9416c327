"""An upload gets its name once it is complete and its digest is right; nothing else stays."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

import pytest

from app.models.content.blobs import BlobStore, WrongDigest
from app.models.store import FolderUnwritable, NoSpace

DATA = b"some data"
DIGEST = hashlib.sha256(DATA).hexdigest()
OTHER = "0" * 64


def files(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.rglob("*") if path.is_file())


def upload(store: BlobStore, digest: str = DIGEST, *pieces: bytes) -> Path:
    with store.receive(digest, None) as received:
        for piece in pieces or (DATA[:4], DATA[4:]):
            received.write(piece)
        return received.finish()


def test_an_upload_is_found_by_its_digest(tmp_path: Path) -> None:
    store = BlobStore(tmp_path)
    assert store.find(DIGEST) is None
    path = upload(store)
    assert store.find(DIGEST) == path
    assert path.read_bytes() == DATA
    assert path.stat().st_mode & 0o777 == 0o644


def test_an_upload_with_another_digest_leaves_nothing(tmp_path: Path) -> None:
    store = BlobStore(tmp_path)
    with pytest.raises(WrongDigest, match=f"expected sha256:{OTHER}, got sha256:{DIGEST}"):
        upload(store, OTHER)
    assert files(tmp_path) == []


def test_an_upload_that_is_cut_off_leaves_nothing(tmp_path: Path) -> None:
    store = BlobStore(tmp_path)
    received = store.receive(DIGEST, None)
    received.write(DATA[:4])
    with received:
        pass
    assert files(tmp_path) == []
    received.write(DATA[4:])  # by a thread that was late
    with pytest.raises(FolderUnwritable, match="given up"):
        received.finish()
    assert files(tmp_path) == []


def test_two_uploads_of_one_file_do_not_disturb_each_other(tmp_path: Path) -> None:
    store = BlobStore(tmp_path)
    with store.receive(DIGEST, None) as first, store.receive(DIGEST, None) as second:
        first.write(DATA)
        second.write(DATA)
        first.finish()
        second.finish()
    assert files(tmp_path) == [f"sha256-{DIGEST}"]


def test_an_upload_that_does_not_fit_is_refused_before_it_begins(tmp_path: Path) -> None:
    with pytest.raises(NoSpace):
        BlobStore(tmp_path).receive(DIGEST, 1 << 60)
    assert files(tmp_path) == []


def test_a_folder_that_is_missing_is_refused(tmp_path: Path) -> None:
    with pytest.raises(FolderUnwritable, match="does not exist"):
        BlobStore(tmp_path / "missing").receive(DIGEST, None)


def test_a_folder_that_cannot_be_written_is_refused(tmp_path: Path) -> None:
    (tmp_path / ".blobs").touch()
    with pytest.raises(FolderUnwritable, match="cannot be written"):
        BlobStore(tmp_path).receive(DIGEST, None)


def test_uploads_that_nobody_used_for_a_day_go(tmp_path: Path) -> None:
    store = BlobStore(tmp_path)
    old = upload(store)
    os.utime(old, (1, 1))
    unfinished = old.with_name(f"sha256-{OTHER}.12345678.part")
    unfinished.touch()
    os.utime(unfinished, (1, 1))
    other = b"other"
    upload(store, hashlib.sha256(other).hexdigest(), other)
    assert files(tmp_path) == [f"sha256-{hashlib.sha256(other).hexdigest()}"]


@pytest.mark.parametrize("digest", ["", "x", "../" + "a" * 61, "A" * 64])
def test_a_name_that_is_no_digest_never_becomes_a_path(tmp_path: Path, digest: str) -> None:
    with pytest.raises(ValueError, match="^" + digest):
        BlobStore(tmp_path).find(digest)


def test_a_link_is_no_upload(tmp_path: Path) -> None:
    (tmp_path / ".blobs").mkdir()
    (tmp_path / ".blobs" / f"sha256-{DIGEST}").symlink_to("/etc/passwd")
    assert BlobStore(tmp_path).find(DIGEST) is None


def test_the_hidden_folder_goes_with_the_last_upload(tmp_path: Path) -> None:
    store = BlobStore(tmp_path)
    upload(store)
    store.remove(DIGEST)
    assert list(tmp_path.iterdir()) == []
    store.remove(DIGEST)
