"""What `models list`, `models add` and `models remove` print and return."""

from __future__ import annotations

from pathlib import Path

import pytest

from app.cli.main import main
from tests.models.gguf_files import write_llama

Capture = pytest.CaptureFixture[str]


@pytest.fixture
def models_dir(tmp_path: Path) -> Path:
    folder = tmp_path / "models"
    folder.mkdir()
    return folder


def run(capsys: Capture, models_dir: Path, *arguments: str) -> tuple[int, str, str]:
    """Return exit status, stdout and stderr of a `models` action."""
    status = main(["models", *arguments, "--models-dir", str(models_dir)])
    return (status, *capsys.readouterr())


def test_list_shows_each_model_with_its_facts(models_dir: Path, capsys: Capture) -> None:
    write_llama(models_dir / "good.gguf", padding=3 * 1024**2)
    (models_dir / "bad.gguf").write_bytes(b"<html>not found</html>........")
    status, out, _ = run(capsys, models_dir, "list")
    titles, bad, good = out.splitlines()
    assert status == 0
    assert titles.split()[:4] == ["NAME", "SIZE", "ARCHITECTURE", "CONTEXT"]
    assert good.split() == ["good.gguf", "3.0", "MiB", "llama", "2048", "Q4_K_M", "yes"]
    assert "unreadable: the file does not begin with 'GGUF'" in bad


def test_list_says_what_a_file_is_that_cannot_serve(models_dir: Path, capsys: Capture) -> None:
    write_llama(models_dir / "a-lora.gguf", general__type="adapter")
    write_llama(models_dir / "b-mmproj-f16.gguf", general__architecture="clip")
    write_llama(models_dir / "c-embed.gguf", general__architecture="nomic-bert")
    write_llama(models_dir / "d-new.gguf", general__architecture="klingon")
    write_llama(models_dir / "e-00001-of-00002.gguf", split__count=2)
    (models_dir / "f-empty.gguf").touch()
    write_llama(models_dir / "g.gguf")
    status, out, _ = run(capsys, models_dir, "list")
    lora, projector, embedding, unknown, split, empty, good = out.splitlines()[1:]
    assert status == 0
    assert "not offered: a LoRA adapter" in lora
    assert "not offered: a projector (mmproj)" in projector
    assert "not offered: an embedding model" in embedding
    assert "not offered: of the architecture 'klingon'" in unknown
    assert "unreadable: its part e-00002-of-00002.gguf is missing" in split
    assert "unreadable: it is empty" in empty
    assert "llama" in good


def test_add_refuses_what_is_no_model(models_dir: Path, tmp_path: Path, capsys: Capture) -> None:
    source = write_llama(tmp_path / "m.gguf", general__type="adapter")
    status, out, err = run(capsys, models_dir, "add", str(source))
    assert (status, out) == (1, "")
    assert err.startswith(f"distiller-llm: {source} is a LoRA adapter")
    assert list(models_dir.iterdir()) == []


def test_add_warns_of_an_architecture_that_is_not_known(
    models_dir: Path, tmp_path: Path, capsys: Capture
) -> None:
    source = write_llama(tmp_path / "m.gguf", general__architecture="klingon")
    status, out, err = run(capsys, models_dir, "add", str(source))
    assert (status, out.startswith("added m.gguf")) == (0, True)
    assert err.startswith("warning: m.gguf is of the architecture 'klingon'")
    assert (models_dir / "m.gguf").exists()


def test_list_of_an_empty_folder_says_so(models_dir: Path, capsys: Capture) -> None:
    assert run(capsys, models_dir, "list") == (0, f"no model (.gguf file) in {models_dir}\n", "")


def test_add_copies_a_model_under_the_given_name(
    models_dir: Path, tmp_path: Path, capsys: Capture
) -> None:
    source = write_llama(tmp_path / "m.gguf")
    status, out, err = run(capsys, models_dir, "add", str(source), "--name", "other")
    assert (status, err) == (0, "")
    assert out == f"added other.gguf (0.0 MiB) to {models_dir}\n"
    assert (models_dir / "other.gguf").read_bytes() == source.read_bytes()


def test_add_replaces_a_model_only_with_force(
    models_dir: Path, tmp_path: Path, capsys: Capture
) -> None:
    write_llama(models_dir / "m.gguf", general__name="Old")
    source = write_llama(tmp_path / "m.gguf", general__name="New")
    status, _, err = run(capsys, models_dir, "add", str(source))
    assert (status, err) == (
        1,
        "distiller-llm: m.gguf already exists; use --force to replace it\n",
    )
    assert run(capsys, models_dir, "add", str(source), "--force")[0] == 0
    assert (models_dir / "m.gguf").read_bytes() == source.read_bytes()


def test_remove_deletes_a_model(models_dir: Path, capsys: Capture) -> None:
    write_llama(models_dir / "m.gguf")
    status, out, err = run(capsys, models_dir, "remove", "m")
    assert (status, out) == (0, f"removed m.gguf from {models_dir}\n")
    assert "until another model is loaded" in err
    assert list(models_dir.iterdir()) == []


def test_remove_of_an_unknown_model_fails(models_dir: Path, capsys: Capture) -> None:
    status, out, err = run(capsys, models_dir, "remove", "m")
    assert (status, out) == (1, "")
    assert err.startswith("distiller-llm: Model 'm' not found")


def test_an_interrupted_add_fails_without_a_traceback(
    models_dir: Path, tmp_path: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("app.cli.models.add_model", interrupt)
    status, _, err = run(capsys, models_dir, "add", str(tmp_path / "m.gguf"))
    assert (status, err) == (1, "distiller-llm: interrupted; nothing was added\n")
