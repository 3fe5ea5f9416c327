"""Cases are found in C++ that builds them in any of the ways that tests do.

Covers `scripts.parser_cases.cpp_expressions` and `scripts.parser_cases.cpp_values`.
"""

from __future__ import annotations

from typing import Any

from scripts.parser_cases.cpp_source import cases_of
from scripts.parser_cases.cpp_values import Built, Record

HEAD = """
#include "x.h"
using json = other::json;
struct peg_tester { int at; peg_tester & test(const std::string & text); };
template <class T> static bool same(const T & a, const T & b) { return a == b; }
static common_chat_tool clock{ /* .name = */ "clock", "Time", R"({"type": "object"})" };
static std::vector<common_chat_tool> all{ clock, clock };
static common_chat_msg said(const std::string & content, const std::string & thought = "",
                            const std::string & name = "", const std::string & id = "") {
    common_chat_msg msg;
    msg.role = "assistant";
    msg.content = content;
    msg.reasoning_content = thought;
    if (!name.empty() || !id.empty()) {
        msg.tool_calls.push_back({ name, "{}", id });
    }
    return msg;
}
static common_chat_msg calling(const std::vector<std::pair<std::string, std::string>> & calls) {
    common_chat_msg msg;
    for (const auto & [name, arguments] : calls) {
        msg.tool_calls.push_back({ name, arguments, "" });
    }
    return msg;
}
const common_chat_msg hello = said("Hello");
"""


def built(body: str) -> list[Built]:
    found = cases_of(f"{HEAD}\nstatic void test_all(bool detailed) {{\n{body}\n}}\n")
    assert not found.unread
    return found.built


def only(body: str) -> Built:
    (case,) = built(f'auto tst = peg_tester("models/a.jinja", detailed);\n{body}')
    return case


def fields(value: Any) -> dict[str, Any]:
    assert isinstance(value, Record)
    return value.fields


def test_a_case_has_its_template_text_line_and_settings() -> None:
    case = only('tst.test("a" "b\\n")\n.enable_thinking(false).is_partial(true).run();')
    assert (case.path, case.text) == ("models/a.jinja", "ab\n")
    assert case.settings == {"enable_thinking": False, "is_partial": True}
    start = HEAD.count("\n") + 4
    assert case.line == start


def test_only_what_is_run_is_a_case() -> None:
    assert built('auto tst = peg_tester("a"); tst.test("x").expect(hello);') == []


def test_texts_are_added_up_from_literals_and_names() -> None:
    case = only(
        'const std::string mark = "<" R"(|)" ">";\n'
        'tst.test("a " + mark + std::string("b")).expect_content("c" + mark).run();'
    )
    assert case.text == "a <|>b"
    assert case.settings["expect_content"] == "c<|>"


def test_functions_of_the_source_make_messages() -> None:
    case = only('tst.test("").expect(said("a", "b", "clock")).run();')
    made = fields(case.settings["expect"])
    assert (made["content"], made["reasoning_content"]) == ("a", "b")
    assert made["tool_calls"] == [["clock", "{}", ""]]
    case = only('tst.test("").expect(calling({ { "f", "1" }, { "g", "2" } })).run();')
    assert fields(case.settings["expect"])["tool_calls"] == [["f", "1", ""], ["g", "2", ""]]
    case = only('tst.test("").expect(hello).run();')
    assert fields(case.settings["expect"])["tool_calls"] == []


def test_tools_are_constants_or_made_on_the_spot() -> None:
    case = only(
        'static common_chat_tool bell{ "bell", "Ring", "{}" };\n'
        'tst.test("").tools({ clock, bell }).run();'
    )
    assert [fields(tool)["name"] for tool in case.settings["tools"]] == ["clock", "bell"]
    case = only('tst.test("").tools(all).run();')
    assert len(case.settings["tools"]) == 2


def test_fields_of_a_message_are_set_one_by_one() -> None:
    case = only(
        'common_chat_msg result; result.role = "tool"; result.content = "noon";\n'
        'tst.test("").messages({ hello, result }).run();'
    )
    first, second = map(fields, case.settings["messages"])
    assert (first["content"], second["role"], second["content"]) == ("Hello", "tool", "noon")


def test_loops_and_blocks_make_their_cases() -> None:
    cases = built(
        'for (const auto & path : { "a.jinja", "b.jinja" }) {\n'
        "  auto tst = peg_tester(path, detailed);\n"
        '  { tst.test("x").run(); }\n'
        "}\n"
    )
    assert [(case.path, case.text) for case in cases] == [("a.jinja", "x"), ("b.jinja", "x")]


def test_a_shared_function_makes_cases_only_where_it_is_called() -> None:
    shared = (
        "static void shared(const std::string & path) {\n"
        '  auto tst = peg_tester(path);\n  tst.test("x").run();\n}\n'
        'static void test_all() {\n  shared("a");\n  shared("b");\n  peg_tester("c");\n}\n'
    )
    assert [case.path for case in cases_of(HEAD + shared).built] == ["a", "b"]


def test_what_is_not_understood_is_passed_over_and_a_case_in_it_noted() -> None:
    found = cases_of(
        HEAD + "static void test_all() {\n"
        'auto tst = peg_tester("a");\n'
        "while (unknown()) { LOG(1); }\n"
        "try { f(); } catch (const std::exception & e) { g(); }\n"
        'if (same(unknown, 1)) { tst.test("lost").run(); } else { h(); }\n'
        'tst.test("x" + made_elsewhere()).run();\n'
        'tst.test("y").run();\n}\n'
    )
    assert [case.text for case in found.built] == ["y"]
    assert len(found.unread) == 2
    assert "made_elsewhere" in found.unread[1][1]
