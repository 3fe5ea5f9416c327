"""Owns the software bill of materials: CycloneDX 1.6, from the locks and from nothing else.

The same commit gives the same text: no time, no machine, an id made from the content.
Format: https://cyclonedx.org/docs/1.6/json/.
"""

from __future__ import annotations

import hashlib
import json
import re
import tomllib
import uuid
from typing import Any

from scripts.supply_chain.licences import licences
from scripts.supply_chain.locks import ROOT, Pin, read_lock
from scripts.supply_chain.vendored import Part, vendored_parts

NAME = "distiller-llm"
_SPEC_VERSION = "1.6"
_NAMESPACE = uuid.uuid5(uuid.NAMESPACE_DNS, "distiller-llm.invalid")


def sbom(python: str) -> str:
    """Return the document for devices with this Python, such as `3.11`.

    Raises:
        LookupError: docs/licences.md or vendored.toml does not fit the lock.
    """
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    pins = [pin for pin in read_lock() if pin.is_for(python)]
    known = licences()
    parts = vendored_parts()
    components = [_component(pin, known[pin.name], parts) for pin in pins]
    body: dict[str, Any] = {
        "$schema": "http://cyclonedx.org/schema/bom-1.6.schema.json",
        "bomFormat": "CycloneDX",
        "specVersion": _SPEC_VERSION,
        "version": 1,
        "metadata": {
            "lifecycles": [{"phase": "build"}],
            "component": {
                "type": "application",
                "bom-ref": NAME,
                "name": NAME,
                "version": project["version"],
                "description": project["description"],
                "licenses": [{"license": {"id": "MIT"}}],
            },
            "properties": [{"name": f"{NAME}:python", "value": python}],
        },
        "components": components + _models(),
        "dependencies": [{"ref": NAME, "dependsOn": sorted(_direct(project, pins))}],
        # Packages' own dependencies and the crates inside of Rust packages are not told.
        "compositions": [{"aggregate": "incomplete", "assemblies": [NAME]}],
    }
    digest = hashlib.sha256(json.dumps(body, sort_keys=True).encode()).hexdigest()
    body["serialNumber"] = f"urn:uuid:{uuid.uuid5(_NAMESPACE, digest)}"
    return json.dumps(body, indent=2) + "\n"


def _component(pin: Pin, licence: str, parts: list[Part]) -> dict[str, Any]:
    component: dict[str, Any] = {
        "type": "library",
        "bom-ref": pin.purl,
        "name": pin.name,
        "version": pin.version,
        "licenses": [{"expression": licence}],
        "purl": pin.purl,
        "externalReferences": [
            {
                "type": "distribution",
                "url": pin.purl,
                "comment": "the files that the lock accepts",
                "hashes": [{"alg": "SHA-256", "content": digest} for digest in pin.hashes],
            }
        ],
    }
    if inner := [_part(part, pin) for part in parts if part.inside == pin.name]:
        component["components"] = inner
    return component


def _part(part: Part, pin: Pin) -> dict[str, Any]:
    component: dict[str, Any] = {
        "type": "library",
        "bom-ref": f"{pin.purl}#{part.name}",
        "name": part.name,
        "licenses": [{"expression": part.licence}],
        "externalReferences": [{"type": "vcs", "url": part.source}],
    }
    if part.version:
        component["version"] = part.version
    if part.commit:
        owner_and_name = part.source.removeprefix("https://github.com/")
        component["purl"] = f"pkg:github/{owner_and_name}@{part.commit}"
    return component


def _models() -> list[dict[str, Any]]:
    return [
        {
            "type": "machine-learning-model",
            "bom-ref": f"model:{file.name}",
            "name": file.name,
            "licenses": [{"license": {"id": "MIT"}}],
            "hashes": [
                {"alg": "SHA-256", "content": hashlib.sha256(file.read_bytes()).hexdigest()}
            ],
        }
        for file in sorted((ROOT / "models").glob("distiller-nano-*.gguf"))
    ]


def _direct(project: dict[str, Any], pins: list[Pin]) -> set[str]:
    names = {re.split(r"[^a-z0-9._-]", line)[0] for line in project["dependencies"]}
    return {pin.purl for pin in pins if pin.name in names}
