"""How API keys are written, where they are read, and which of them a client shows."""

from __future__ import annotations

from pathlib import Path

import pytest
from pydantic import SecretStr

from app.config.settings import Settings
from app.config.sources import describe
from app.errors import SettingsInvalid
from app.web.api_keys import ApiKeys, read_api_keys

LAPTOP = "laptop-key-0123456789"
PHONE = "phone.key~9876543210=="


@pytest.fixture(autouse=True)
def no_credentials(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CREDENTIALS_DIRECTORY", raising=False)


def given(text: str) -> Settings:
    return Settings(api_keys=SecretStr(text))


def in_file(path: Path, text: str) -> Settings:
    path.write_text(text)
    return Settings(api_keys_file=path)


def refusal(settings: Settings) -> str:
    with pytest.raises(SettingsInvalid) as refused:
        read_api_keys(settings)
    return refused.value.message


# ---------------------------------------------------------------- reading


def test_without_any_place_there_are_no_keys() -> None:
    keys = read_api_keys(Settings())
    assert not keys
    assert keys.name_of("anything-at-all-here") is None


def test_a_file_holds_a_key_a_line_with_comments_and_space(tmp_path: Path) -> None:
    text = f"# whose\n\n laptop : {LAPTOP} \nphone:{PHONE}\n"
    assert read_api_keys(in_file(tmp_path / "keys", text)).names == ["laptop", "phone"]


def test_a_file_may_come_from_an_editor_that_marks_utf_8_and_ends_lines_its_own_way(
    tmp_path: Path,
) -> None:
    text = f"\ufefflaptop:{LAPTOP}\r\nphone:{PHONE}\r\n"
    assert read_api_keys(in_file(tmp_path / "keys", text)).names == ["laptop", "phone"]


def test_the_setting_holds_keys_between_commas_or_lines() -> None:
    assert read_api_keys(given(f"laptop:{LAPTOP}, phone:{PHONE}")).names == ["laptop", "phone"]
    assert read_api_keys(given(f"laptop:{LAPTOP}\nphone:{PHONE}\n")).names == ["laptop", "phone"]


def test_the_keys_of_all_places_count_together(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "api-keys").write_text(f"credential:{PHONE}")
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(tmp_path))
    file = tmp_path / "more"
    file.write_text(f"file:{LAPTOP}2")
    settings = Settings(api_keys=SecretStr(f"setting:{LAPTOP}"), api_keys_file=file)
    assert read_api_keys(settings).names == ["setting", "file", "credential"]


@pytest.mark.parametrize("text", ["", "\n", "# nothing yet\n"])
def test_a_credential_may_be_empty_or_missing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str
) -> None:
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(tmp_path))
    assert not read_api_keys(Settings())
    (tmp_path / "api-keys").write_text(text)
    assert not read_api_keys(Settings())


def test_a_credential_that_is_there_and_cannot_be_read_is_not_taken_for_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(tmp_path))
    (tmp_path / "api-keys").symlink_to("api-keys")
    assert "cannot be read" in refusal(Settings())


@pytest.mark.parametrize("text", ["", "\n", "# nothing yet\n"])
def test_a_file_that_was_named_and_holds_no_key_is_refused(tmp_path: Path, text: str) -> None:
    assert "holds no key" in refusal(in_file(tmp_path / "keys", text))


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    assert "nowhere" in refusal(Settings(api_keys_file=tmp_path / "nowhere"))
    (tmp_path / "binary").write_bytes(b"\xff\xfe")
    assert "is no text" in refusal(Settings(api_keys_file=tmp_path / "binary"))


@pytest.mark.parametrize(
    "entry",
    [
        "without-a-name-0123456789",
        "short:0123456789abcde",
        "space:0123456789 abcdef",
        "bad name:0123456789abcdef",
        "umlaut:0123456789abcdefü",
        ":0123456789abcdef",
        "**********",
    ],
)
def test_a_malformed_entry_is_told_by_its_place_and_never_quoted(
    tmp_path: Path, entry: str
) -> None:
    message = refusal(in_file(tmp_path / "keys", f"laptop:{LAPTOP}\n{entry}\n"))
    assert "line 2: must be NAME:KEY" in message
    assert "entry 1: must be NAME:KEY" in refusal(given(entry))
    assert entry not in message
    assert LAPTOP not in message


def test_two_keys_of_one_name_are_refused() -> None:
    message = refusal(given(f"laptop:{LAPTOP},laptop:{PHONE}"))
    assert "'laptop'" in message
    assert PHONE not in message


# ---------------------------------------------------------------- comparing


@pytest.fixture
def keys() -> ApiKeys:
    return read_api_keys(given(f"laptop:{LAPTOP},phone:{PHONE}"))


def test_a_client_is_known_by_the_name_of_its_key(keys: ApiKeys) -> None:
    assert keys.name_of(LAPTOP) == "laptop"
    assert keys.name_of(PHONE) == "phone"


@pytest.mark.parametrize(
    "shown", ["", "laptop", LAPTOP[:-1], f"{LAPTOP}x", LAPTOP.upper(), "\udce4", "x" * 8000]
)
def test_nothing_else_is_known(keys: ApiKeys, shown: str) -> None:
    assert keys.name_of(shown) is None


def test_every_key_is_compared_whichever_fits(
    keys: ApiKeys, monkeypatch: pytest.MonkeyPatch
) -> None:
    compared = 0

    def compare(a: bytes, b: bytes) -> bool:
        nonlocal compared
        compared += 1
        return a == b

    monkeypatch.setattr("app.web.api_keys.hmac.compare_digest", compare)
    for shown in (LAPTOP, PHONE, "unknown"):
        compared = 0
        keys.name_of(shown)
        assert compared == 2


# ---------------------------------------------------------------- secrecy


def test_no_key_is_left_where_it_could_be_printed(keys: ApiKeys) -> None:
    assert LAPTOP not in repr(keys)


def test_settings_show_no_key() -> None:
    settings = given(f"laptop:{LAPTOP}")
    assert LAPTOP not in repr(settings)
    assert LAPTOP not in str(describe(settings))
    assert LAPTOP not in settings.model_dump_json()
