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
