"""Owns Ollama's `options`: which are known, their types, and what they are here; no I/O."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from app.api.schemas.sampling import InferenceConfigs
from app.errors import InvalidRequest

_NO_LIMIT = -1
_INTEGERS = {
    "draft_num_predict",
    "main_gpu",
    "mirostat",
    "num_batch",
    "num_ctx",
    "num_gpu",
    "num_keep",
    "num_predict",
    "num_thread",
    "repeat_last_n",
    "seed",
    "top_k",
}
_NUMBERS = {
    "frequency_penalty",
    "min_p",
    "mirostat_eta",
    "mirostat_tau",
    "presence_penalty",
    "repeat_penalty",
    "temperature",
    "tfs_z",
    "top_p",
    "typical_p",
}
_SWITCHES = {
    "embedding_only",
    "f16_kv",
    "logits_all",
    "low_vram",
    "numa",
    "penalize_newline",
    "use_mlock",
    "use_mmap",
    "vocab_only",
}
_OWN_NAMES = {"num_predict": "max_tokens"}
_ASKED_FOR = {own: theirs for theirs, own in _OWN_NAMES.items()}
_SAMPLING = set(InferenceConfigs.model_fields)
_MAX_KEY_CHARS = 64


@dataclass(frozen=True, slots=True)
class Options:
    """The options of a request, read.

    Args:
        fields: those that are fields of a chat request here.
        unknown: the names of those that mean nothing here, shortened.
    """

    fields: Mapping[str, Any]
    unknown: tuple[str, ...] = ()


def read_options(given: Mapping[str, Any] | None) -> Options:
    """Return the options of a request; null is left out.

    Those of a load, such as `num_ctx`, are checked and then ignored: the settings of the loaded
    model count, and no request loads it again. The service's own sampling parameters are taken by
    their names, too.

    Raises:
        InvalidRequest: a known one has the wrong type.
    """
    fields: dict[str, Any] = {}
    unknown = []
    for name, value in (given or {}).items():
        if not _is_known(name):
            unknown.append(name[:_MAX_KEY_CHARS])
        elif value is not None:
            read = _read(name, value)
            own = _OWN_NAMES.get(name, name)
            if own in _SAMPLING:
                fields[own] = read
    return Options(fields, tuple(unknown))


def option_of(field: str) -> str | None:
    """Return the option that a field of a chat request comes from; None where it is none."""
    name, _, rest = field.partition("[")
    if name not in _SAMPLING:
        return None
    return f"options.{_ASKED_FOR.get(name, name)}{'[' + rest if rest else ''}"


def _is_known(name: str) -> bool:
    return name in _SAMPLING or name in _INTEGERS or name in _NUMBERS or name in _SWITCHES


def _read(name: str, value: Any) -> Any:
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    if name == "num_predict":
        return _limit(_integer(name, value))
    if name in _INTEGERS:
        return _integer(name, value)
    if name in _NUMBERS and not is_number:
        raise _refused(name, "a number")
    if name in _SWITCHES and not isinstance(value, bool):
        raise _refused(name, "true or false")
    if name == "stop":
        return _stops(value)
    return value


def _integer(name: str, value: Any) -> int:
    """Return a whole number; fractions are cut off, as Ollama does."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise _refused(name, "a whole number")
    try:
        return int(value)
    except (OverflowError, ValueError):
        raise _refused(name, "a whole number") from None


def _limit(asked: int) -> int:
    """Return the limit of an answer; 0 and all below it are none."""
    return asked if asked > 0 else _NO_LIMIT


def _stops(value: Any) -> Any:
    """Return the stop strings without empty ones, which would never let an answer begin."""
    if isinstance(value, str):
        return value or None
    if isinstance(value, list):
        return [each for each in value if each != ""]
    raise _refused("stop", "a list of texts")


def _refused(name: str, kind: str) -> InvalidRequest:
    param = f"options.{name}"
    return InvalidRequest(f"{param}: must be {kind}", param=param)
