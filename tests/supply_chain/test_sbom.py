"""The bill of materials lists what devices get, is the same every time, and fits its format."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from app.engine.llama import build_version
from scripts.supply_chain.__main__ import main
from scripts.supply_chain.licences import licences, page
from scripts.supply_chain.locks import ROOT, read_lock
from scripts.supply_chain.sbom import sbom
from scripts.supply_chain.vendored import vendored_parts


@pytest.fixture(scope="module")
def bill() -> dict[str, Any]:
    found: dict[str, Any] = json.loads(sbom("3.11"))
    return found


def everything(components: list[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    for component in components:
        yield component
        yield from everything(component.get("components", []))


def test_every_package_of_the_lock_is_in_it_with_the_locks_hashes(bill: dict[str, Any]) -> None:
    listed = {part["purl"]: part for part in bill["components"] if part["type"] == "library"}
    pins = {pin.purl: pin for pin in read_lock() if pin.is_for("3.11")}
    assert listed.keys() == pins.keys()
    for purl, pin in pins.items():
        (reference,) = listed[purl]["externalReferences"]
        assert tuple(found["content"] for found in reference["hashes"]) == pin.hashes


def test_what_packages_carry_inside_is_in_it(bill: dict[str, Any]) -> None:
    names = {part["name"] for part in everything(bill["components"])}
    assert names >= {"llama.cpp", "ggml", "OpenBLAS", "libuv", "llhttp"}
    assert any(name.startswith("distiller-nano") for name in names)


def test_every_part_has_a_licence_and_a_name_of_its_own(bill: dict[str, Any]) -> None:
    parts = list(everything(bill["components"]))
    assert all(part["licenses"] for part in parts)
    references = [part["bom-ref"] for part in parts]
    assert len(set(references)) == len(references)
    (direct,) = bill["dependencies"]
    assert set(direct["dependsOn"]) <= set(references)
    assert len(direct["dependsOn"]) == 10


def test_it_is_the_same_every_time_and_another_for_another_python() -> None:
    assert sbom("3.11") == sbom("3.11")
    serials = {json.loads(sbom(python))["serialNumber"] for python in ("3.11", "3.12", "3.13")}
    assert len(serials) == 3
    assert all(re.fullmatch(r"urn:uuid:[0-9a-f-]{36}", serial) for serial in serials)


def test_it_names_no_machine_and_no_time() -> None:
    text = sbom("3.11")
    assert str(ROOT) not in text
    assert "timestamp" not in text


def test_it_says_of_itself_what_it_is(bill: dict[str, Any]) -> None:
    assert (bill["bomFormat"], bill["specVersion"], bill["version"]) == ("CycloneDX", "1.6", 1)
    assert bill["metadata"]["component"]["name"] == "distiller-llm"


def test_the_command_writes_it(tmp_path: Path) -> None:
    assert main(["sbom", "--python", "3.13", "--out", str(tmp_path / "bill.json")]) == 0
    assert (tmp_path / "bill.json").read_text() == sbom("3.13")


def test_the_llama_cpp_in_it_is_the_one_that_runs() -> None:
    (part,) = [part for part in vendored_parts() if part.name == "llama.cpp"]
    assert build_version() == f"{part.version}+{part.of}"


# ---------------------------------------------------------------- licences


def test_the_page_of_licences_shows_the_installed_packages() -> None:
    assert (ROOT / "docs" / "licences.md").read_text() == page(), "run scripts/licences"


def test_a_page_that_misses_a_locked_package_is_refused(tmp_path: Path) -> None:
    lines = (ROOT / "docs" / "licences.md").read_text().splitlines(keepends=True)
    stale = tmp_path / "licences.md"
    stale.write_text("".join(line for line in lines if not line.startswith("| sanic ")))
    with pytest.raises(LookupError, match="sanic"):
        licences(stale)


def test_a_part_that_was_looked_at_in_another_version_is_refused(tmp_path: Path) -> None:
    table = '[[part]]\ninside = "uvloop"\nof = "0.1"\nname = "x"\nlicence = "MIT"\nsource = "y"\n'
    (tmp_path / "v.toml").write_text(table)
    with pytest.raises(LookupError, match=r"looked at in uvloop 0\.1"):
        vendored_parts(tmp_path / "v.toml")
