"""Which advisories a locked package falls under; without data, that nothing was checked."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path
from typing import Any

import pytest

from scripts.supply_chain.__main__ import main
from scripts.supply_chain.audit import advisories, find, is_affected
from scripts.supply_chain.locks import Pin

PIN = Pin("some-package", "1.5.0", ("a" * 64,))


def spans(*events: tuple[str, str]) -> dict[str, Any]:
    return {"ranges": [{"type": "ECOSYSTEM", "events": [{kind: at} for kind, at in events]}]}


def advisory(name: str = "some_Package", **fields: Any) -> dict[str, Any]:
    affected = {"package": {"ecosystem": "PyPI", "name": name}, **spans(("introduced", "0"))}
    return {"id": "GHSA-x", "aliases": ["CVE-1"], "summary": "bad", "affected": [affected]} | fields


@pytest.mark.parametrize(
    ("affected", "expected"),
    [
        ({"versions": ["1.4", "1.5.0"]}, True),
        ({"versions": ["1.5"]}, False),
        (spans(("introduced", "0")), True),
        (spans(("introduced", "0"), ("fixed", "1.5.0")), False),
        (spans(("introduced", "0"), ("fixed", "1.5.1")), True),
        (spans(("introduced", "0"), ("last_affected", "1.5.0")), True),
        (spans(("introduced", "0"), ("last_affected", "1.4.9")), False),
        (spans(("introduced", "1.6")), False),
        (spans(("introduced", "0"), ("fixed", "1.0"), ("introduced", "1.5")), True),
        (spans(("introduced", "1.10"), ("fixed", "1.11")), False),
        ({"ranges": [{"type": "GIT", "events": [{"introduced": "0"}]}]}, False),
    ],
)
def test_a_version_is_affected_where_it_is_named_or_spanned(
    affected: dict[str, Any], expected: bool
) -> None:
    assert is_affected("1.5.0", affected) is expected


def test_names_are_compared_as_the_index_does_and_ecosystems_too() -> None:
    other = advisory()
    other["affected"][0]["package"]["ecosystem"] = "npm"
    found, count = find([PIN], iter([advisory(), advisory("another"), other]))
    assert count == 3
    assert [(finding.package, finding.aliases) for finding in found] == [
        ("some-package", ("CVE-1",))
    ]


def test_withdrawn_advisories_count_as_none(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text(json.dumps(advisory(withdrawn="2026-01-01T00:00:00Z")))
    assert list(advisories(tmp_path)) == []


def test_a_zip_and_a_folder_are_read_alike(tmp_path: Path) -> None:
    folder = tmp_path / "folder"
    folder.mkdir()
    (folder / "a.json").write_text(json.dumps(advisory()))
    with zipfile.ZipFile(tmp_path / "all.zip", "w") as archive:
        archive.write(folder / "a.json", "a.json")
    assert list(advisories(folder)) == list(advisories(tmp_path / "all.zip")) == [advisory()]


# ---------------------------------------------------------------- the command


def test_without_data_it_says_plainly_that_nothing_was_checked(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    (tmp_path / "text.zip").write_text("no zip")
    for options in ([], ["--data", str(tmp_path / "no")], ["--data", str(tmp_path / "text.zip")]):
        assert main(["audit", *options]) == 3
        assert capsys.readouterr().out.startswith("NOT CHECKED")
    assert main(["audit", "--data", str(tmp_path)]) == 3


def test_a_finding_is_told_with_what_mends_it_and_fails(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    affected = {
        "package": {"ecosystem": "PyPI", "name": "Sanic"},
        **spans(("introduced", "0"), ("fixed", "9999")),
    }
    (tmp_path / "a.json").write_text(json.dumps(advisory(affected=[affected])))
    assert main(["audit", "--data", str(tmp_path)]) == 1
    out = capsys.readouterr().out
    assert "GHSA-x, CVE-1: bad; fixed in 9999" in out
    assert "1 findings; 1 advisories against" in out


def test_what_is_known_against_others_only_is_fine(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    (tmp_path / "a.json").write_text(json.dumps(advisory("not-locked")))
    assert main(["audit", "--data", str(tmp_path)]) == 0
    assert capsys.readouterr().out.startswith("0 findings")
