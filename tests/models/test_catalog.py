"""Which files of the models folder are offered, and that no name can leave the folder."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from app.errors import ModelNotFound
from app.models.catalog import Catalog
from app.models.gguf import GgufError
from app.models.names import Naming
from tests.models.gguf_files import llama, write_llama


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    models_dir = tmp_path / "models"
    models_dir.mkdir()
    return models_dir


def put(folder: Path, *names: str) -> None:
    for name in names:
        write_llama(folder / name)


def aged(path: Path, age_s: int) -> None:
    os.utime(path, (1_700_000_000 - age_s, 1_700_000_000 - age_s))


# ---------------------------------------------------------------- what is listed


def test_names_are_the_gguf_files_in_order(folder: Path) -> None:
    put(folder, "b.gguf", "a.GGUF", "readme.txt", "c.gguf.part", "d.safetensors")
    assert Catalog(folder).names() == ["a.GGUF", "b.gguf"]


def test_the_folder_is_looked_at_anew_each_time(folder: Path) -> None:
    catalog = Catalog(folder)
    assert catalog.names() == []
    put(folder, "new.gguf")
    assert catalog.names() == ["new.gguf"]
    (folder / "new.gguf").unlink()
    assert catalog.names() == []


def test_a_missing_folder_holds_no_models(tmp_path: Path) -> None:
    catalog = Catalog(tmp_path / "nowhere")
    assert catalog.names() == []
    assert catalog.default(None) is None


def test_a_file_in_place_of_the_folder_holds_no_models(tmp_path: Path) -> None:
    put(tmp_path, "models")
    assert Catalog(tmp_path / "models").names() == []


def test_what_is_no_model_of_its_own_is_left_out(folder: Path) -> None:
    put(folder, ".hidden.gguf", "~draft.gguf", "ggml-vocab-qwen2.gguf", "mmproj-model-f16.gguf")
    (folder / "empty.gguf").touch()
    (folder / "subfolder.gguf").mkdir()
    put(folder / "subfolder.gguf", "inner.gguf")
    assert Catalog(folder).names() == []


def test_a_name_that_is_not_utf8_is_left_out(folder: Path) -> None:
    put(folder, "good.gguf")
    try:
        Path(os.fsdecode(os.fsencode(folder) + b"/bad\xff.gguf")).write_bytes(llama())
    except OSError:
        pytest.skip("this file system takes only UTF-8 names")
    assert Catalog(folder).names() == ["good.gguf"]


def test_a_split_model_is_listed_once_with_the_size_of_all_its_parts(folder: Path) -> None:
    for part in (1, 2, 3):
        write_llama(folder / f"big-0000{part}-of-00003.gguf", padding=100 * part)
    put(folder, "other-00002-of-00002.gguf")
    (entry,) = Catalog(folder).entries()
    assert entry.name == "big-00001-of-00003.gguf"
    assert entry.size_bytes == 3 * len(llama()) + 600


def test_an_entry_carries_path_size_and_time(folder: Path) -> None:
    path = write_llama(folder / "m.gguf")
    aged(path, 0)
    (entry,) = Catalog(folder).entries()
    assert entry.path == path
    assert entry.size_bytes == path.stat().st_size
    assert entry.modified_s == 1_700_000_000


def test_a_link_counts_only_when_its_target_lies_in_the_folder(folder: Path) -> None:
    put(folder, "inside.gguf")
    put(folder.parent, "outside.gguf")
    (folder / "to-inside.gguf").symlink_to(folder / "inside.gguf")
    (folder / "to-outside.gguf").symlink_to(folder.parent / "outside.gguf")
    (folder / "to-nothing.gguf").symlink_to(folder / "gone.gguf")
    (folder / "to-itself.gguf").symlink_to(folder / "to-itself.gguf")
    assert Catalog(folder).names() == ["inside.gguf", "to-inside.gguf"]


def test_the_folder_itself_may_be_a_link(folder: Path) -> None:
    put(folder, "m.gguf")
    link = folder.parent / "link"
    link.symlink_to(folder)
    assert Catalog(link).names() == ["m.gguf"]


# ---------------------------------------------------------------- finding by name


def test_a_model_is_found_with_and_without_its_ending(folder: Path) -> None:
    put(folder, "m.gguf")
    assert Catalog(folder).find("m.gguf").path == folder / "m.gguf"
    assert Catalog(folder).find("m").path == folder / "m.gguf"


def test_the_exact_name_wins_and_an_ambiguous_short_one_is_refused(folder: Path) -> None:
    put(folder, "m.gguf", "m.GGUF")
    if len(Catalog(folder).names()) < 2:
        pytest.skip("this file system does not tell upper from lower case")
    assert Catalog(folder).find("m.GGUF").name == "m.GGUF"
    with pytest.raises(ModelNotFound, match="ambiguous"):
        Catalog(folder).find("m")


def test_an_unknown_model_is_refused_with_the_names_there_are(folder: Path) -> None:
    put(folder, "a.gguf", "b.gguf")
    with pytest.raises(ModelNotFound) as caught:
        Catalog(folder).find("c.gguf")
    assert caught.value.message.startswith("Model 'c.gguf' not found")
    assert "a.gguf, b.gguf" in caught.value.message
    assert caught.value.param == "model"


@pytest.mark.parametrize("name", ["M.GGUF", "m:latest", "helper", "Helper:latest", "m.gguf:Latest"])
def test_a_model_is_found_by_its_other_names(folder: Path, name: str) -> None:
    put(folder, "m.gguf")
    assert Catalog(folder, Naming({"helper": "m"})).find(name).name == "m.gguf"


def test_aliases_are_listed_for_an_unknown_model(folder: Path) -> None:
    put(folder, "a.gguf", "b.gguf")
    catalog = Catalog(folder, Naming({"helper": "b", "gone": "c"}))
    with pytest.raises(ModelNotFound, match=r"holds a\.gguf, b\.gguf, with the aliases helper$"):
        catalog.find("gpt-4o")


def test_an_unknown_name_may_mean_the_default_model(folder: Path) -> None:
    put(folder, "m.gguf", "n.gguf", "N.gguf")
    catalog = Catalog(folder, Naming({}, "default"))
    assert catalog.asked("gpt-4o") is None
    found = catalog.asked("m:latest")
    assert found is not None
    assert found.name == "m.gguf"
    with pytest.raises(ModelNotFound, match="ambiguous"):
        catalog.asked("n.GGUF")


def test_an_unknown_name_is_refused_by_default(folder: Path) -> None:
    put(folder, "m.gguf")
    assert Catalog(folder).asked(None) is None
    with pytest.raises(ModelNotFound):
        Catalog(folder).asked("gpt-4o")


def test_aliases_without_effect_are_told(folder: Path) -> None:
    put(folder, "m.gguf")
    faults = Catalog(folder, Naming({"m": "m", "helper": "m", "x": "gone"})).alias_faults()
    assert [fault.split("'")[1] for fault in faults] == ["m", "x"]


@pytest.mark.parametrize(
    "name",
    ["", ".", "..", "../outside.gguf", "../outside", "./m.gguf", "sub/inner.gguf", "m.gguf/",
     "m.gguf\0", "\0", "..\\outside.gguf", "~", "*.gguf", "M.GGUF/", "M:tag",
     "m .gguf", " m.gguf", "m.gguf ", "m.gguf\n", ".gguf", "x" * 9999,
     "..%2foutside.gguf", "%2e%2e/outside.gguf", "..\uff0foutside.gguf", "\uff4d.gguf",
     "m\u200b.gguf", "sub", "sub/../m.gguf", "//m.gguf", "file:m.gguf", "m.gguf:stream",
     "\ud800.gguf"],
)  # fmt: skip
def test_a_name_that_is_no_plain_file_of_the_folder_is_refused(folder: Path, name: str) -> None:
    put(folder, "m.gguf")
    put(folder.parent, "outside.gguf")
    (folder / "sub").mkdir()
    put(folder / "sub", "inner.gguf")
    with pytest.raises(ModelNotFound) as caught:
        Catalog(folder).find(name)
    assert len(caught.value.message) < 500


def test_a_link_out_of_the_folder_is_not_found_by_any_way(folder: Path) -> None:
    put(folder, "m.gguf")
    put(folder.parent, "outside.gguf")
    (folder / "link.gguf").symlink_to("../outside.gguf")
    (folder / "chain.gguf").symlink_to("link.gguf")
    (folder / "up").symlink_to("..")
    (folder / "round.gguf").symlink_to("up/outside.gguf")
    (folder / "device.gguf").symlink_to("/dev/zero")
    for name in ("link.gguf", "link", "chain.gguf", "round.gguf", "up/outside.gguf", "device"):
        with pytest.raises(ModelNotFound):
            Catalog(folder).find(name)
    assert Catalog(folder).names() == ["m.gguf"]


FORMS = [  # composed, decomposed
    ("caf\u00e9", "cafe\u0301"),
    ("\u00e5ngstr\u00f6m", "a\u030angstro\u0308m"),
    ("\ud55c\uae00", "\u1112\u1161\u11ab\u1100\u1173\u11af"),
    ("\u1ec7", "e\u0323\u0302"),
]


@pytest.mark.parametrize("suffix", ["", ".gguf"])
@pytest.mark.parametrize(("composed", "decomposed"), FORMS)
def test_a_name_finds_its_file_however_unicode_writes_either(
    folder: Path, composed: str, decomposed: str, suffix: str
) -> None:
    assert composed != decomposed
    for on_disk, asked in ((composed, decomposed), (decomposed, composed)):
        put(folder, f"{on_disk}.gguf")
        assert Catalog(folder).find(asked + suffix).name == f"{on_disk}.gguf"
        (folder / f"{on_disk}.gguf").unlink()


@pytest.mark.parametrize(("composed", "decomposed"), FORMS)
def test_of_two_files_that_unicode_tells_apart_the_exact_name_wins(
    folder: Path, composed: str, decomposed: str
) -> None:
    put(folder, f"{composed}.gguf", f"{decomposed}.gguf")
    catalog = Catalog(folder)
    if len(catalog.names()) < 2:
        pytest.skip("this file system normalises names")
    for name in (composed, decomposed):
        assert catalog.find(name).name == catalog.find(f"{name}.gguf").name == f"{name}.gguf"


def test_a_third_way_to_write_a_name_is_ambiguous_between_two_files(folder: Path) -> None:
    put(folder, "\u1ec7.gguf", "e\u0323\u0302.gguf")
    if len(Catalog(folder).names()) < 2:
        pytest.skip("this file system normalises names")
    with pytest.raises(ModelNotFound, match="ambiguous"):
        Catalog(folder).find("\u1eb9\u0302")


def test_an_absolute_path_is_refused_even_into_the_folder(folder: Path) -> None:
    put(folder, "m.gguf")
    with pytest.raises(ModelNotFound):
        Catalog(folder).find(str(folder / "m.gguf"))


# ---------------------------------------------------------------- choosing one to start with


def test_the_configured_model_is_the_default(folder: Path) -> None:
    put(folder, "a.gguf", "b.gguf")
    chosen = Catalog(folder).default("a")
    assert chosen is not None
    assert chosen.name == "a.gguf"


def test_a_configured_model_that_does_not_exist_is_an_error(folder: Path) -> None:
    put(folder, "a.gguf")
    with pytest.raises(ModelNotFound):
        Catalog(folder).default("b.gguf")


def test_without_a_configured_model_the_newest_is_the_default(folder: Path) -> None:
    put(folder, "old.gguf", "new.gguf", "oldest.gguf")
    for age_s, name in enumerate(["new.gguf", "old.gguf", "oldest.gguf"]):
        aged(folder / name, age_s)
    chosen = Catalog(folder).default(None)
    assert chosen is not None
    assert chosen.name == "new.gguf"


def test_the_newest_is_that_of_the_models_that_can_serve(folder: Path) -> None:
    put(folder, "old.gguf", "newer.gguf")
    write_llama(folder / "lora.gguf", general__type="adapter")
    (folder / "junk.gguf").write_bytes(b"junk")
    for age_s, name in enumerate(["junk.gguf", "lora.gguf", "newer.gguf", "old.gguf"]):
        aged(folder / name, age_s)
    chosen = Catalog(folder).default(None)
    assert chosen is not None
    assert chosen.name == "newer.gguf"


def test_without_a_model_that_can_serve_the_newest_file_is_the_default(folder: Path) -> None:
    for age_s, name in enumerate(["junk.gguf", "older.gguf"]):
        (folder / name).write_bytes(b"junk")
        aged(folder / name, age_s)
    chosen = Catalog(folder).default(None)
    assert chosen is not None
    assert chosen.name == "junk.gguf"


# ---------------------------------------------------------------- what can serve


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (b"", "is not a valid GGUF file: it is empty"),
        (b"<html>not found</html>........", "does not begin with 'GGUF'"),
        (llama()[:-1], "is the file complete?"),
        (llama()[:60], "is the file complete?"),
        (llama(general__type="adapter"), "is a LoRA adapter"),
        (llama(general__type="mmproj"), "is a projector (mmproj)"),
        (llama(general__architecture="bert"), "is an embedding model"),
        (llama(tensors=()), "is a vocabulary without weights"),
        (llama(llama__block_count="many"), "'llama.block_count' is not a whole number"),
        (llama(split__count=2), "its name must end in -00001-of-00002.gguf"),
        (llama(split__count=2, split__no=1), "is part 2 of a model that is split into 2"),
    ],
)  # fmt: skip
def test_what_cannot_serve_is_found_but_not_offered(folder: Path, content: bytes, why: str) -> None:
    (folder / "bad.gguf").write_bytes(content)
    put(folder, "good.gguf")
    catalog = Catalog(folder)
    assert catalog.names() == ["good.gguf"]
    assert why in (catalog.refusal(catalog.find("bad")) or "")
    assert [file.name for file in catalog.files()] == ["bad.gguf", "good.gguf"]
    with pytest.raises(ModelNotFound, match=r"holds good\.gguf$"):
        catalog.find("other")


def test_a_name_may_say_that_a_file_is_no_model(folder: Path) -> None:
    put(folder, "mmproj-model-f16.gguf", "ggml-vocab-qwen2.gguf")
    catalog = Catalog(folder)
    assert catalog.names() == []
    assert "projector" in (catalog.refusal(catalog.find("mmproj-model-f16")) or "")
    assert "vocabulary" in (catalog.refusal(catalog.find("ggml-vocab-qwen2")) or "")
    with pytest.raises(ModelNotFound, match="no model that can serve"):
        catalog.find("other")


def test_a_split_model_is_offered_once_all_its_parts_are_there(folder: Path) -> None:
    first = write_llama(folder / "big-00001-of-00002.gguf", split__count=2, tensors=())
    catalog = Catalog(folder)
    entry = catalog.find("big-00001-of-00002")
    why = "is not a valid GGUF file: its part big-00002-of-00002.gguf is missing"
    assert (catalog.names(), catalog.refusal(entry)) == ([], why)
    second = folder / "big-00002-of-00002.gguf"
    second.write_bytes(llama()[:60])
    assert "big-00002-of-00002.gguf: the header runs past" in (catalog.refusal(entry) or "")
    write_llama(second, split__count=2, split__no=1)
    assert (catalog.names(), catalog.refusal(entry)) == ([first.name], None)


def test_a_file_is_offered_once_its_copy_is_complete(folder: Path) -> None:
    (folder / "m.gguf").write_bytes(llama()[:-1])
    catalog = Catalog(folder)
    assert catalog.names() == []
    write_llama(folder / "m.gguf")
    assert catalog.names() == ["m.gguf"]


def test_headers_are_read_once(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    put(folder, "a.gguf", "b.gguf")
    (folder / "junk.gguf").write_bytes(b"junk")
    catalog = Catalog(folder)
    assert catalog.names() == ["a.gguf", "b.gguf"]
    monkeypatch.setattr("app.models.headers.read_header", None)
    assert catalog.names() == ["a.gguf", "b.gguf"]
    assert catalog.facts(catalog.find("a")).n_layer == 4


# ---------------------------------------------------------------- facts


def test_facts_are_read_from_the_header(folder: Path) -> None:
    write_llama(folder / "m.gguf", llama__block_count=12)
    catalog = Catalog(folder)
    facts = catalog.facts(catalog.find("m"))
    assert (facts.n_layer, facts.has_chat_template, facts.file_type) == (12, True, "Q4_K_M")


def test_quick_facts_leave_what_stands_behind_the_vocabulary_unknown(folder: Path) -> None:
    write_llama(folder / "m.gguf")
    catalog = Catalog(folder)
    entry = catalog.find("m")
    assert catalog.facts(entry, whole=False).has_chat_template is None
    assert catalog.facts(entry).has_chat_template is True


def test_facts_are_remembered_until_the_file_changes(folder: Path) -> None:
    path = write_llama(folder / "m.gguf", general__name="one")
    aged(path, 10)
    catalog = Catalog(folder)
    first = catalog.facts(catalog.find("m"))
    assert catalog.facts(catalog.find("m")) is first
    write_llama(path, general__name="two")
    assert catalog.facts(catalog.find("m")).name == "two"


def test_a_bad_file_is_found_and_its_facts_say_what_is_wrong(folder: Path) -> None:
    (folder / "bad.gguf").write_bytes(llama()[:60])
    catalog = Catalog(folder)
    entry = catalog.find("bad")
    with pytest.raises(GgufError, match="past the end"):
        catalog.facts(entry)


def test_a_file_that_vanished_is_an_unreadable_one(folder: Path) -> None:
    catalog = Catalog(folder)
    entry = Catalog(write_llama(folder / "m.gguf").parent).find("m")
    entry.path.unlink()
    with pytest.raises(GgufError, match="cannot be read"):
        catalog.facts(entry)
