"""Owns the error messages of settings that are lists of tables; must not know their schemas."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from pydantic_core import ErrorDetails, PydanticCustomError


@dataclass(frozen=True, slots=True)
class Table:
    """A kind of table.

    Args:
        setting: the setting that lists them.
        one: one of them, such as `profile`.
        allowed: what each part may be.
    """

    setting: str
    one: str
    allowed: Mapping[str, str]

    def explain(self, details: ErrorDetails) -> str:
        """Return the message of an error, such as `profiles[0].name must be …`."""
        context = details.get("ctx", {})
        index, *rest = (*details["loc"][1:], context.get("index"))
        field = context.get("field") or next((str(part) for part in rest if part is not None), "")
        where = f"{self.setting}[{index}]" + (f".{field}" if field else "")
        if "fault" in context:
            return f"{where} {context['fault']}"
        if details["type"] == "missing":
            return f"{where} is missing"
        if details["type"] == "extra_forbidden":
            return f"{where} is no part of a {self.one}; its parts are {', '.join(self.allowed)}"
        return f"{where} must be {self.allowed.get(field, 'a table')}"

    def refuse_repeated_names(self, names: Iterable[str]) -> None:
        """Raise for the first name that is repeated.

        Raises:
            PydanticCustomError: it is the name of another table too.
        """
        known = set()
        for index, name in enumerate(names):
            if name in known:
                raise fault("name", f"is the name of another {self.one} too", index)
            known.add(name)


def fault(field: str, text: str, index: int | None = None) -> PydanticCustomError:
    """Return an error of a table's part.

    Args:
        text: follows the name of the part.
        index: that of the table, where the error is raised outside of it.
    """
    return PydanticCustomError(
        "combination", "{fault}", {"field": field, "fault": text, "index": index}
    )
