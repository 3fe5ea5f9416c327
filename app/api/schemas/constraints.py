"""Owns the request fields that constrain an answer's text; must not know how it is enforced.

The names are those of OpenAI (`response_format`), llama-server (`json_schema`, `grammar`) and vLLM
(`guided_*`, `structured_outputs`).
"""

from __future__ import annotations

from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, BaseModel, Field, model_validator

from app.api.schemas.common import Lenient, Strict
from app.api.schemas.json_schema import BoundedSchema, json_text
from app.protocol import Constraint
from app.web.validation import field_error

MAX_TEXT_BYTES = 64 * 1024
MAX_CHOICES = 256

_ANY_OBJECT = {"type": "object"}
_Kind = Literal["json_schema", "grammar", "regex", "choice"]


def _fits(text: str) -> str:
    if len(text.encode()) > MAX_TEXT_BYTES:
        raise ValueError(f"must have at most {MAX_TEXT_BYTES} bytes")
    return text


def _differ(choices: list[str]) -> list[str]:
    if len(set(choices)) < len(choices):
        raise ValueError("the choices must be unique")
    _fits(json_text(choices))
    return choices


GrammarText = Annotated[str, AfterValidator(_fits)]
Regex = Annotated[str, Field(min_length=1), AfterValidator(_fits)]
Choices = Annotated[
    list[Annotated[str, Field(min_length=1)]],
    Field(min_length=1, max_length=MAX_CHOICES),
    AfterValidator(_differ),
]


class JsonSchemaFormat(Lenient):
    """A JSON schema for the answer."""

    name: str | None = Field(None, max_length=64)
    description: str | None = None
    schema_: BoundedSchema = Field(alias="schema")
    strict: bool | None = Field(
        None,
        description="If false, keywords that cannot be enforced are ignored, not refused.",
    )


class ResponseFormat(Lenient):
    """The form of the answer."""

    type: Literal["text", "json_object", "json_schema"]
    json_schema: JsonSchemaFormat | None = None
    schema_: BoundedSchema | None = Field(
        None, alias="schema", description="A schema for `json_object`, as llama-server takes it."
    )

    @model_validator(mode="after")
    def _has_its_schema(self) -> Self:
        if self.type == "json_schema" and self.json_schema is None:
            raise field_error("response_format.json_schema", 'is required if type is "json_schema"')
        return self

    def constraint(self) -> Constraint | None:
        """Return the constraint; None is free text."""
        if self.type == "json_schema" and self.json_schema:
            return Constraint(
                kind="json_schema",
                text=json_text(self.json_schema.schema_),
                param="response_format.json_schema.schema",
                is_strict=self.json_schema.strict is not False,
            )
        if self.type == "text":
            return None
        if self.schema_ is None:
            return _constraint("json_schema", _ANY_OBJECT, "response_format")
        return _constraint("json_schema", self.schema_, "response_format.schema")


class StructuredOutputs(Strict):
    """vLLM's object of constraints."""

    json_: BoundedSchema | None = Field(None, alias="json")
    regex: Regex | None = None
    choice: Choices | None = None
    grammar: GrammarText | None = None


_FIELDS: tuple[tuple[str, _Kind], ...] = (
    ("json_schema", "json_schema"),
    ("grammar", "grammar"),
    ("regex", "regex"),
    ("choice", "choice"),
    ("guided_json", "json_schema"),
    ("guided_regex", "regex"),
    ("guided_choice", "choice"),
    ("guided_grammar", "grammar"),
    ("structured_outputs.json", "json_schema"),
    ("structured_outputs.regex", "regex"),
    ("structured_outputs.choice", "choice"),
    ("structured_outputs.grammar", "grammar"),
)


class ConstraintFields(BaseModel):
    """The fields that constrain an answer; a request may have one of them."""

    response_format: ResponseFormat | None = None
    json_schema: BoundedSchema | None = Field(None, description="A JSON schema for the answer.")
    grammar: GrammarText | None = Field(
        None, description="A grammar for the answer: llguidance's Lark, or GBNF."
    )
    regex: Regex | None = Field(None, description="A regular expression for the whole answer.")
    choice: Choices | None = Field(None, description="The answer is one of these texts.")
    guided_json: BoundedSchema | None = Field(None, description="Another name of json_schema.")
    guided_regex: Regex | None = Field(None, description="Another name of regex.")
    guided_choice: Choices | None = Field(None, description="Another name of choice.")
    guided_grammar: GrammarText | None = Field(None, description="Another name of grammar.")
    structured_outputs: StructuredOutputs | None = None

    @model_validator(mode="after")
    def _is_one_at_most(self) -> Self:
        found = self._constraints()
        if len(found) > 1:
            raise field_error(found[1].param, f"cannot be combined with {found[0].param}")
        return self

    @property
    def constraint(self) -> Constraint | None:
        """The constraint of the request; None is free text."""
        found = self._constraints()
        return found[0] if found else None

    def _constraints(self) -> list[Constraint]:
        first = self.response_format.constraint() if self.response_format else None
        found = [first] if first else []
        for param, kind in _FIELDS:
            value = self._value(param)
            if value not in (None, ""):
                found.append(_constraint(kind, value, param))
        return found

    def _value(self, param: str) -> Any:
        owner: BaseModel = self
        *outer, name = param.split(".")
        if outer:
            if self.structured_outputs is None:
                return None
            owner = self.structured_outputs
            name = "json_" if name == "json" else name
        return getattr(owner, name)


def _constraint(kind: _Kind, value: Any, param: str) -> Constraint:
    text = value if isinstance(value, str) else json_text(value)
    return Constraint(kind=kind, text=text, param=param)
