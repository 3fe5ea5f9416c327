"""What a stream writes is what any reader of server-sent events takes apart."""

from __future__ import annotations

from app.web import framing


def events(stream: bytes) -> list[str]:
    """Return the data of each event, by the rules of the HTML standard, section 9.2.6."""
    found = []
    for block in stream.decode().split("\n\n"):
        lines = [line for line in block.split("\n") if line and not line.startswith(":")]
        data = [line.removeprefix("data:").removeprefix(" ") for line in lines]
        if data:
            found.append("\n".join(data))
    return found


def test_each_frame_is_one_event_and_done_ends_the_stream() -> None:
    stream = framing.frame(b'{"a":1}') + framing.frame(b'{"b":"\xc3\xb6"}') + framing.DONE
    assert events(stream) == ['{"a":1}', '{"b":"ö"}', "[DONE]"]


def test_a_ping_is_no_event_wherever_it_comes() -> None:
    stream = framing.PING + framing.frame(b"1") + framing.PING + framing.frame(b"2") + framing.DONE
    assert events(stream) == ["1", "2", "[DONE]"]


def test_the_done_event_is_the_one_that_clients_compare_with() -> None:
    assert framing.DONE == b"data: [DONE]\n\n"


def test_streams_are_neither_cached_nor_held_back_by_a_proxy() -> None:
    assert framing.CONTENT_TYPE.startswith("text/event-stream")
    assert framing.HEADERS == {"Cache-Control": "no-cache", "X-Accel-Buffering": "no"}
