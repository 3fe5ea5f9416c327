"""Owns the text of the package's settings file: every setting, with its default as a comment."""

from __future__ import annotations

from app.config.settings import Settings, setting_names
from app.config.sources import allowed_values, describe

_HEAD = """\
# Settings of Distiller LLM. A line without the number sign in front takes effect after
#   systemctl restart distiller-llm
# `distiller-llm check-config` tells beforehand whether a value is allowed. Shown are the defaults.

# Where a service finds its files; the defaults are for a server that runs from its own folder.
models_dir = "/var/lib/distiller-llm/models"
cache_dir = "/var/cache/distiller-llm"
"""
_GIVEN = ("models_dir", "cache_dir")
_TABLES = ("models", "clients", "profiles")
_NOTES = {
    "host": "Under systemd, distiller-llm.socket decides this.",
    "port": "Under systemd, distiller-llm.socket decides this.",
    "api_keys": "The installed service has keys from /etc/distiller-llm/api-keys; this file here "
    "can be read by all.",
    "models": "Written as tables at the end of this file:\n"
    '#   [[models]]\n#   name = "qwen3-4b-q4_k_m.gguf"\n#   aliases = ["assistant"]',
    "clients": "Written as tables at the end of this file:\n"
    '#   [[clients]]\n#   name = "kitchen"\n#   max_tokens_limit = 512',
    "profiles": "Written as tables at the end of this file:\n"
    '#   [[profiles]]\n#   name = "kitchen"\n'
    '#   messages = [{ role = "system", content = "You help in the kitchen." }]',
}


def page() -> str:
    """Return the whole file."""
    defaults = {name: value for name, value, _ in describe(Settings())}
    return "\n".join(
        [_HEAD, *(_entry(name, defaults[name]) for name in setting_names() if name not in _GIVEN)]
    )


def _entry(name: str, default: str) -> str:
    description = str(Settings.model_fields[name].description)
    lines = [f"# {description[0].upper()}{description[1:]} ({allowed_values(name)})."]
    if name in _NOTES:
        lines.append(f"# {_NOTES[name]}")
    if name not in _TABLES:
        lines.append(f"#{name} = {default}")
    return "\n".join(lines) + "\n"
