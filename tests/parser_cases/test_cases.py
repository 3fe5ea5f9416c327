"""A case says what a client asks for, and what of the answer it should get."""

from __future__ import annotations

from scripts.parser_cases.cases import Case, Reading, read_cases

SOURCE = """
static common_chat_tool clock{ "clock", "Time", R"({"type": "object"})" };
static void test_all() {
  auto tst = peg_tester("models/templates/Some-1.5B.jinja");
  tst.test("Hi").expect_content("Hi").run();
  common_chat_msg begun; begun.role = "assistant"; begun.content = "Good ";
  begun.reasoning_content = "So";
  tst.test("day").messages({ { "user", "Hello" }, begun })
    .continue_final_message(COMMON_CHAT_CONTINUATION_CONTENT)
    .reasoning_format(COMMON_REASONING_FORMAT_AUTO)
    .expect_reasoning("So").expect_content("Good day").run();
  common_chat_msg result{ "tool", "noon", {}, {}, "", "clock", "c1" };
  common_chat_msg called; called.role = "assistant";
  called.tool_calls.push_back({ "clock", "{}", "c1" });
  tst.test("<call>").tools({ clock })
    .messages({ { "user", "", { { "text", "a" } } }, called, result })
    .tool_choice(COMMON_CHAT_TOOL_CHOICE_REQUIRED).parallel_tool_calls(true).is_partial(true)
    .enable_thinking(false).json_schema("{}")
    .expect_tool_calls({ { "clock", "{\\"a\\": ", {} } }).run();
}
"""


def cases() -> list[Case]:
    found, source = read_cases(SOURCE)
    assert not source.unread
    return found


def test_what_a_case_leaves_out_is_as_the_source_has_it() -> None:
    case = cases()[0]
    assert case.messages == ({"role": "user", "content": "Hello"},)
    assert case == Case("Some-1.5B", case.line, "Hi", Reading("Hi"))


def test_of_a_continued_message_only_what_comes_new_is_expected() -> None:
    case = cases()[1]
    assert (case.continues, case.is_split) == ("content", True)
    assert case.expected == Reading("day", "")
    assert case.messages[-1] == {
        "role": "assistant",
        "content": "Good ",
        "reasoning_content": "So",
    }


def test_a_conversation_and_its_tools_are_as_a_client_sends_them() -> None:
    case = cases()[2]
    asked, called, result = case.messages
    assert asked["content"] == [{"type": "text", "text": "a"}]
    function = {"name": "clock", "arguments": "{}"}
    assert called["tool_calls"] == [{"id": "c1", "type": "function", "function": function}]
    assert result == {"role": "tool", "content": "noon", "name": "clock", "tool_call_id": "c1"}
    (tool,) = case.tools
    assert tool["function"]["parameters"] == {"type": "object"}
    assert (case.is_required, case.parallel, case.is_partial) == (True, True, True)
    assert (case.enable_thinking, case.json_schema) == (False, "{}")
    assert case.expected == Reading("", "", (("clock", '{"a": '),))
