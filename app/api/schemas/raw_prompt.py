"""Owns the schemas of raw prompts, which no chat template renders, and of their sampling."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import Discriminator, Field, Tag

from app.api.schemas.sampling import SamplingFields
from app.api.schemas.service import TokenId
from app.config.row_fields import with_parameters
from app.errors import InvalidRequest
from app.parameters.answer import AnswerParams
from app.parameters.names import spellings
from app.protocol import RawPrompt

MAX_PROMPTS = 64
MAX_PROMPT_CHARS = 1_000_000
MAX_PROMPT_TOKENS = 1_000_000
_FORMS = "must be a text, a list of token ids, or a list of texts and of such lists"

PromptText = Annotated[str, Field(max_length=MAX_PROMPT_CHARS)]
PromptTokens = Annotated[list[TokenId], Field(min_length=1, max_length=MAX_PROMPT_TOKENS)]


def _form_of_prompt(value: Any) -> str | None:
    if isinstance(value, str):
        return "(text)"
    return "(tokens)" if isinstance(value, list) else None


def _form_of_prompts(value: Any) -> str | None:
    if isinstance(value, list) and value and isinstance(value[0], str | list):
        return "(several)"
    return _form_of_prompt(value)


OnePrompt = Annotated[
    Annotated[PromptText, Tag("(text)")] | Annotated[PromptTokens, Tag("(tokens)")],
    Discriminator(
        _form_of_prompt,
        custom_error_type="prompt_form",
        custom_error_message="must be a text or a list of token ids",
    ),
]
Prompts = Annotated[
    Annotated[PromptText, Tag("(text)")]
    | Annotated[PromptTokens, Tag("(tokens)")]
    | Annotated[list[OnePrompt], Field(max_length=MAX_PROMPTS), Tag("(several)")],
    Discriminator(_form_of_prompts, custom_error_type="prompt_form", custom_error_message=_FORMS),
]


@with_parameters("request", AnswerParams, takes_refused=True)
class RawSamplingFields(SamplingFields):
    """The sampling parameters of a raw prompt, for which `max_tokens` may be 0."""

    @property
    def has_limit(self) -> bool:
        """Whether the request limits the number of tokens."""
        return any(getattr(self, name) is not None for name in spellings("max_tokens"))


def separate(prompts: Any) -> list[Any]:
    """Return the prompts of a request, each a text or a list of token ids; None is one too."""
    return list(prompts) if _form_of_prompts(prompts) == "(several)" else [prompts]


def raw_prompts(prompts: Any, n_vocab: int, suffix: str | None = None) -> list[RawPrompt]:
    """Return the prompts for the engine.

    Args:
        prompts: as a request has them; None is an empty text.
        n_vocab: size of the vocabulary.
        suffix: the text after each of them.

    Raises:
        InvalidRequest: a token id is outside the vocabulary.
    """
    return [_raw(prompt, n_vocab, suffix) for prompt in separate(prompts)]


def _raw(prompt: str | list[int] | None, n_vocab: int, suffix: str | None) -> RawPrompt:
    if not isinstance(prompt, list):
        return RawPrompt(text=prompt or "", suffix=suffix)
    if (highest := max(prompt)) >= n_vocab:
        raise InvalidRequest(
            f"prompt: {highest} is not a token id; ids range from 0 to {n_vocab - 1}",
            param="prompt",
        )
    return RawPrompt(tokens=prompt, suffix=suffix)
