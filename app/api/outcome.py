"""Owns the outcome of a request: token counts, timings and finish reasons."""

from __future__ import annotations

from collections.abc import Sequence

from app.protocol import Finished, Generate, RequestEvent, Timings, Usage


class Outcome:
    """The ends of all answers to one request.

    Args:
        commands: the commands of the request, one for each prompt.
    """

    def __init__(self, commands: Sequence[Generate]) -> None:
        self._finished: list[dict[int, Finished]] = [{} for _ in commands]
        self._missing = sum(command.n for command in commands)

    @property
    def is_complete(self) -> bool:
        """Whether every answer has ended."""
        return not self._missing

    def note(self, prompt_no: int, events: Sequence[RequestEvent]) -> None:
        """Record the ends of answers among some events."""
        for event in events:
            if type(event) is Finished:
                self._finished[prompt_no][event.choice] = event
                self._missing -= 1

    def finished(self, prompt_no: int = 0, choice: int = 0) -> Finished:
        """Return the end of one answer."""
        return self._finished[prompt_no][choice]

    @property
    def finish_reason(self) -> str:
        """Why the first answer ended."""
        return self.finished().reason

    @property
    def timings(self) -> Timings:
        """The timings of the first answer."""
        return self.finished().timings

    @property
    def usage(self) -> Usage:
        """The token counts: each prompt once, all answers together."""
        prompts = [[end.usage for end in ends.values()] for ends in self._finished]
        return Usage(
            prompt_tokens=sum(max(usage.prompt_tokens for usage in each) for each in prompts),
            marked_tokens=sum(max(usage.marked_tokens for usage in each) for each in prompts),
            cached_tokens=sum(min(usage.cached_tokens for usage in each) for each in prompts),
            completion_tokens=sum(usage.completion_tokens for each in prompts for usage in each),
            reasoning_tokens=sum(usage.reasoning_tokens for each in prompts for usage in each),
        )


def decode_per_second(timings: Timings) -> float | None:
    """Return the speed of decode in tokens a second; the first token is prefill's."""
    return per_second(max(0, timings.predicted_n - 1), timings.predicted_ms)


def per_second(count: int, milliseconds: float) -> float | None:
    """Return a rate, or None if it is undefined."""
    return round(1000.0 * count / milliseconds, 2) if count and milliseconds > 0.0 else None
