"""What each command prints and returns, in the same process and through `python -m app`."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from app import __version__
from app.cli.main import main
from app.config.settings import ENV_PREFIX, setting_names
from app.config.sources import load_settings
from tests.models.gguf_files import write_llama

Capture = pytest.CaptureFixture[str]
PROJECT = Path(__file__).parents[2]


@pytest.fixture(autouse=True)
def empty_surroundings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for variable in [name for name in os.environ if name.upper().startswith(ENV_PREFIX)]:
        monkeypatch.delenv(variable)
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def models_dir(tmp_path: Path) -> Path:
    folder = tmp_path / "models"
    folder.mkdir()
    return folder


def printed(capsys: Capture, *arguments: str) -> str:
    assert main(arguments) == 0
    return capsys.readouterr().out


def complaint(capsys: Capture, *arguments: str) -> str:
    assert main(arguments) == 2
    out, err = capsys.readouterr()
    assert out == ""
    return err


# ---------------------------------------------------------------- options


@pytest.mark.parametrize("spelling", ["--n-ctx", "--n_ctx"])
@pytest.mark.parametrize("joined", [True, False])
def test_options_are_taken_in_both_spellings(spelling: str, joined: bool, capsys: Capture) -> None:
    option = [f"{spelling}=512"] if joined else [spelling, "512"]
    assert "n_ctx = 512  # command line --n-ctx\n" in printed(capsys, "print-config", *option)


@pytest.mark.slow
def test_every_setting_is_an_option_in_both_spellings_but_secrets(capsys: Capture) -> None:
    values = dict(load_settings({}, search=()))
    for name in [name for name in setting_names() if name != "api_keys"]:
        value = "auto" if values[name] is None else str(values[name])
        if isinstance(values[name], list):
            value = json.dumps(values[name])
        for option in {f"--{name}", f"--{name.replace('_', '-')}"}:
            out = printed(capsys, "print-config", option, value)
            assert f"# command line --{name.replace('_', '-')}\n" in out


def test_a_key_is_no_option_as_everybody_on_the_machine_could_read_it(capsys: Capture) -> None:
    assert main(["check-config", "--api-keys", "laptop:0123456789abcdef"]) == 2
    assert "--api-keys" not in printed(capsys, "serve", "--help").split("--api-keys-file")[0]


def test_a_wrong_file_of_keys_is_a_wrong_setting(capsys: Capture, tmp_path: Path) -> None:
    (tmp_path / "keys").write_text("laptop:0123456789abcdef\nnonsense\n")
    told = complaint(capsys, "check-config", "--api-keys-file", str(tmp_path / "keys"))
    assert "line 2: must be NAME:KEY" in told
    assert "nonsense" not in told


@pytest.mark.parametrize(
    ("options", "is_warned"),
    [
        (["--host", "0.0.0.0"], True),
        (["--host", "box.lan"], True),
        (["--host", "::1"], False),
        (["--host", "localhost"], False),
        (["--host", "0.0.0.0", "--allow-unauthenticated"], False),
    ],
)
def test_a_host_that_others_reach_without_a_key_is_told_beforehand(
    options: list[str], is_warned: bool, capsys: Capture
) -> None:
    assert main(["check-config", *options]) == 0
    assert ("an API key is required" in capsys.readouterr().err) is is_warned


def test_print_config_shows_no_key(capsys: Capture, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DISTILLER_LLM_API_KEYS", "laptop:0123456789abcdef")
    assert "0123456789abcdef" not in printed(capsys, "print-config")


def test_a_switch_needs_no_value(capsys: Capture) -> None:
    assert "verbose = true" in printed(capsys, "print-config", "--verbose")
    assert "verbose = true" in printed(capsys, "print-config", "--verbose", "--port", "1")
    assert "use_mmap = false" in printed(capsys, "print-config", "--use-mmap", "false")


def test_negative_numbers_are_values(capsys: Capture) -> None:
    assert "n_gpu_layers = -1" in printed(capsys, "print-config", "--n-gpu-layers", "-1")


def test_a_configuration_file_can_be_named(tmp_path: Path, capsys: Capture) -> None:
    config = tmp_path / "c.toml"
    config.write_text("port = 9\n")
    assert f"port = 9  # {config}\n" in printed(capsys, "print-config", "--config", str(config))


# ---------------------------------------------------------------- mistakes


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--prot", "1"], "unknown option --prot; did you mean --port?"),
        (["serve", "--modle_name=x"], "unknown option --modle_name; did you mean --model-name?"),
        (["--por", "1"], "unknown option --por; did you mean --port?"),
        (["serve", "extra"], "unexpected argument 'extra'"),
        (["--port", "1", "print-config"], "'print-config' must come before all options"),
        (["--port"], "argument --port: expected one argument"),
        (["frobnicate"], "invalid choice: 'frobnicate'"),
        (["models"], "required: action"),
    ],
)
def test_a_wrong_command_line_is_told_in_one_line(
    arguments: list[str], message: str, capsys: Capture
) -> None:
    err = complaint(capsys, *arguments)
    assert message in err
    assert err.startswith("distiller-llm: ")
    assert err.count("\n") == 1


@pytest.mark.parametrize("command", ["serve", "check-config", "print-config"])
def test_a_wrong_value_ends_every_command_with_its_name_source_and_range(
    command: str, capsys: Capture
) -> None:
    err = complaint(capsys, command, "--port", "70000", "--top-k", "x")
    assert err.splitlines() == [
        'distiller-llm: port = "70000" (command line --port): '
        "must be a whole number from 0 to 65535",
        'distiller-llm: top_k = "x" (command line --top-k): '
        "must be a whole number from -1 to 1000000",
    ]


def test_a_missing_configuration_file_is_told(capsys: Capture) -> None:
    assert "/nowhere.toml: there is no such file" in complaint(capsys, "--config", "/nowhere.toml")


# ---------------------------------------------------------------- check-config, print-config


def test_check_config_names_the_sources_used(
    models_dir: Path, monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    write_llama(models_dir / "m.gguf")
    monkeypatch.setenv("DISTILLER_LLM_MODELS_DIR", str(models_dir))
    assert main(["check-config", "--port", "1"]) == 0
    out, err = capsys.readouterr()
    assert out.splitlines()[0] == "configuration is valid"
    assert "  command line --port: port" in out
    assert "  environment DISTILLER_LLM_MODELS_DIR: models_dir" in out
    assert err == ""


def test_check_config_warns_of_what_will_not_work(
    models_dir: Path, monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    monkeypatch.setenv("DISTILLER_LLM_PROT", "1")
    folder = ["--models-dir", str(models_dir)]
    assert main(["check-config", *folder]) == 0
    err = capsys.readouterr().err
    assert "warning: environment variable DISTILLER_LLM_PROT is no setting" in err
    assert f"warning: no model (.gguf file) in {models_dir}" in err
    assert main(["check-config", *folder, "--model-name", "x"]) == 0
    assert "warning: model_name: Model 'x' not found" in capsys.readouterr().err
    assert main(["check-config", "--models-dir", "/nowhere"]) == 0
    assert "warning: models_dir /nowhere is not a folder" in capsys.readouterr().err


@pytest.mark.parametrize("named", [[], ["--model-name", "lora"]])
def test_check_config_warns_of_a_file_that_cannot_serve(
    models_dir: Path, capsys: Capture, named: list[str]
) -> None:
    write_llama(models_dir / "lora.gguf", general__type="adapter")
    assert main(["check-config", "--models-dir", str(models_dir), *named]) == 0
    assert "warning: lora.gguf is a LoRA adapter" in capsys.readouterr().err
    write_llama(models_dir / "m.gguf")
    assert main(["check-config", "--models-dir", str(models_dir), *named]) == 0
    assert bool(capsys.readouterr().err) == bool(named)


def test_check_config_warns_of_a_profile_whose_model_is_not_there(
    models_dir: Path, capsys: Capture
) -> None:
    write_llama(models_dir / "m.gguf")
    messages = '"messages":[{"role":"user","content":"Hi"}]'
    profiles = f'[{{"name":"a","model":"m",{messages}}},{{"name":"b","model":"x",{messages}}}]'
    assert main(["check-config", "--models-dir", str(models_dir), "--profiles", profiles]) == 0
    (warning,) = capsys.readouterr().err.splitlines()
    assert warning.startswith("warning: profiles[1].model: Model 'x' not found")


def test_check_config_warns_of_an_alias_without_effect(models_dir: Path, capsys: Capture) -> None:
    write_llama(models_dir / "m.gguf")
    models = '[{"name":"m","aliases":["M","helper"]},{"name":"x","aliases":["gone"]}]'
    assert main(["check-config", "--models-dir", str(models_dir), "--models", models]) == 0
    first, second = capsys.readouterr().err.splitlines()
    assert first == "warning: alias 'M' of m is the name of the file m.gguf"
    assert second == "warning: alias 'gone' is of x, which is not in the models folder"


def test_a_model_may_be_configured_by_an_alias(models_dir: Path, capsys: Capture) -> None:
    write_llama(models_dir / "m.gguf")
    models = ["--models", '[{"name":"m","aliases":["helper"]}]', "--model-name", "Helper:latest"]
    assert main(["check-config", "--models-dir", str(models_dir), *models]) == 0
    assert not capsys.readouterr().err


def test_what_print_config_prints_is_a_configuration_file(tmp_path: Path, capsys: Capture) -> None:
    out = printed(capsys, "print-config", "--port", "9", "--model-name", 'odd "name"')
    assert list(tomllib.loads(out)) == setting_names()
    config = tmp_path / "c.toml"
    config.write_text(out)
    settings = load_settings({}, config)
    assert (settings.port, settings.model_name) == (9, 'odd "name"')


# ---------------------------------------------------------------- help and start


def test_help_names_commands_and_settings(capsys: Capture) -> None:
    out = printed(capsys, "--help")
    assert "check-config" in out
    out = " ".join(printed(capsys, "serve", "--help").split())
    assert "--n-ctx VALUE" in out
    assert "--n_ctx" not in out
    assert "a whole number from 0 to 65535; default: 8000" in out


def test_version_is_printed(capsys: Capture) -> None:
    assert printed(capsys, "--version") == f"distiller-llm {__version__}\n"


def test_the_module_is_the_command() -> None:
    found = subprocess.run(
        [sys.executable, "-m", "app", "--port", "x"],
        cwd=PROJECT,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert found.returncode == 2
    assert "must be a whole number" in found.stderr
    assert "Traceback" not in found.stderr


def test_importing_the_command_line_loads_no_server() -> None:
    code = (
        "import sys, app.cli.main;"
        "print([name for name in ('sanic', 'app.server', 'llama_cpp') if name in sys.modules])"
    )
    found = subprocess.run(
        [sys.executable, "-c", code], cwd=PROJECT, capture_output=True, text=True, timeout=60
    )
    assert found.stdout == "[]\n"
