"""How a model will be loaded: what was asked for, lowered to what the model and memory allow."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from app.errors import LoadParamsRefused, ModelLoadFailed, ModelTooLarge
from app.host import memory_estimate
from app.host.load_plan import LoadPlan, plan_load
from app.models.catalog import Catalog, ModelFile
from app.models.settings_file import ModelSettings, settings_path, write_settings
from app.protocol import LoadParams
from tests.models.gguf_files import LLAMA_VALUES, tensor, with_tensors, write_llama

DEFAULTS = LoadParams(n_ctx=1024, n_threads=2)
TRAINED = 2048  # tokens, in the header that write_llama writes
# Its full context needs a TiB: more than any machine has. Its shortest needs half a GiB.
ENORMOUS: dict[str, Any] = {
    "llama__block_count": 64,
    "llama__attention__head_count": 64,
    "llama__attention__head_count_kv": 64,
    "llama__embedding_length": 4096,
    "llama__context_length": 1_048_576,
}
# Its shortest context needs thousands of GiB.
HOPELESS = ENORMOUS | {"llama__block_count": 16_777_216}
ENDLESS_BYTES = 1 << 62


@pytest.fixture
def catalog(tmp_path: Path) -> Catalog:
    return Catalog(tmp_path)


def model(catalog: Catalog, name: str = "tiny.gguf", **changes: Any) -> ModelFile:
    write_llama(catalog.models_dir / name, **changes)
    return catalog.find(name)


async def planned(
    catalog: Catalog, file: ModelFile, before: LoadPlan | None = None, **overrides: Any
) -> LoadPlan:
    return await plan_load(catalog, file, DEFAULTS, overrides, before=before)


async def serving(catalog: Catalog, *, needed_bytes: int, mapped_bytes: int) -> LoadPlan:
    """Return the plan of a model that serves and takes this much memory."""
    plan = await planned(catalog, model(catalog, "serving.gguf"))
    return replace(plan, needed_bytes=needed_bytes, mapped_bytes=mapped_bytes)


async def test_without_overrides_the_defaults_are_used_as_they_are(catalog: Catalog) -> None:
    plan = await planned(catalog, model(catalog))
    assert plan.requested == plan.params == DEFAULTS
    assert plan.notes == ()
    assert plan.fits_beside


async def test_overrides_win_over_the_defaults(catalog: Catalog) -> None:
    plan = await planned(catalog, model(catalog), n_ctx=512, type_k="q8_0")
    assert (plan.params.n_ctx, plan.params.type_k, plan.params.n_threads) == (512, "q8_0", 2)


async def test_a_context_longer_than_the_training_is_lowered_with_a_note(catalog: Catalog) -> None:
    plan = await planned(catalog, model(catalog), n_ctx=32_768)
    assert (plan.requested.n_ctx, plan.params.n_ctx) == (32_768, TRAINED)
    assert plan.notes == (
        f"n_ctx is {TRAINED}: the model was trained for a context of {TRAINED} tokens",
    )


async def test_a_context_that_memory_does_not_hold_is_lowered_with_a_note(catalog: Catalog) -> None:
    plan = await planned(catalog, model(catalog, **ENORMOUS), n_ctx=1_048_576)
    assert not plan.fits_beside
    assert plan.params.n_ctx < 1_048_576
    (note,) = plan.notes
    assert note.startswith(f"n_ctx is {plan.params.n_ctx}: ")
    assert "GiB are available" in note


async def test_a_larger_context_than_fits_can_be_refused_instead(catalog: Catalog) -> None:
    file = model(catalog, **ENORMOUS)
    lowered = await planned(catalog, file, n_ctx=1_048_576)
    with pytest.raises(LoadParamsRefused, match="GiB are available") as caught:
        await planned(catalog, file, n_ctx=1_048_576, fit="strict")
    assert caught.value.message.startswith(f"n_ctx can be at most {lowered.params.n_ctx}: ")
    assert caught.value.param == "load_model_configs.n_ctx"
    with pytest.raises(LoadParamsRefused, match="was trained for"):
        await planned(catalog, model(catalog), n_ctx=TRAINED + 256, fit="strict")


async def test_a_context_that_fits_is_the_same_with_and_without_strictness(
    catalog: Catalog,
) -> None:
    file = model(catalog)
    strict = await planned(catalog, file, fit="strict")
    assert strict.same_as(await planned(catalog, file, fit="auto"))


async def test_a_model_that_fits_with_no_context_at_all_is_refused_with_the_figures(
    catalog: Catalog,
) -> None:
    with pytest.raises(ModelTooLarge, match="even with a context of 256 tokens it needs") as caught:
        await planned(catalog, model(catalog, **HOPELESS))
    assert "GiB are available" in caught.value.message
    assert "KV cache" in caught.value.message


async def test_a_model_that_takes_the_last_of_the_memory_is_not_refused(
    catalog: Catalog, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = model(catalog, padding=10_000_000)
    roomy = await planned(catalog, file, n_ctx=256)
    monkeypatch.setattr(memory_estimate, "available_bytes", lambda: int(roomy.needed_bytes / 1.05))
    assert (await planned(catalog, file, n_ctx=256)).params.n_ctx == 256
    monkeypatch.setattr(memory_estimate, "available_bytes", lambda: int(roomy.needed_bytes / 1.15))
    with pytest.raises(ModelTooLarge):
        await planned(catalog, file, n_ctx=256)


async def test_memory_of_a_gpu_is_not_judged(catalog: Catalog) -> None:
    plan = await planned(catalog, model(catalog, **HOPELESS), n_gpu_layers=-1)
    assert plan.params.n_ctx == 256


async def test_memory_that_the_former_model_gives_back_counts(catalog: Catalog) -> None:
    file = model(catalog, **ENORMOUS)
    before = await serving(catalog, needed_bytes=ENDLESS_BYTES, mapped_bytes=0)
    plan = await planned(catalog, file, before, n_ctx=1_048_576)
    assert plan.params.n_ctx == 1_048_576
    assert plan.notes == ()
    assert not plan.fits_beside, "it fits only after the former model has stopped"


async def test_a_mapped_file_that_is_in_use_is_not_free_memory(catalog: Catalog) -> None:
    before = await serving(catalog, needed_bytes=ENDLESS_BYTES, mapped_bytes=ENDLESS_BYTES)
    plan = await planned(catalog, model(catalog), before)
    assert not plan.fits_beside
    assert plan.params == DEFAULTS, "it fits once the former model has stopped"


async def test_needed_memory_grows_with_the_context_and_with_the_file(catalog: Catalog) -> None:
    small = await planned(catalog, model(catalog), n_ctx=256)
    longer = await planned(catalog, model(catalog), n_ctx=2048)
    heavier = await planned(catalog, model(catalog, "big.gguf", padding=1_000_000), n_ctx=256)
    assert small.needed_bytes < longer.needed_bytes
    assert heavier.needed_bytes >= small.needed_bytes + 1_000_000


async def test_needed_memory_is_that_of_the_context_as_it_will_be(catalog: Catalog) -> None:
    lowered = await planned(catalog, model(catalog), n_ctx=32_768)
    asked = await planned(catalog, model(catalog), n_ctx=TRAINED)
    assert lowered.needed_bytes == asked.needed_bytes


@pytest.mark.parametrize("content", [b"no model", b"GGUF", b"GGUF\x03\x00\x00\x00"])
async def test_a_file_that_is_no_gguf_file_cannot_be_loaded(
    catalog: Catalog, content: bytes
) -> None:
    (catalog.models_dir / "bad.gguf").write_bytes(content)
    with pytest.raises(ModelLoadFailed, match=r"^bad\.gguf is not a valid GGUF file: "):
        await planned(catalog, catalog.find("bad.gguf"))


async def test_a_file_that_has_vanished_cannot_be_loaded(catalog: Catalog) -> None:
    file = model(catalog)
    file.path.unlink()
    with pytest.raises(ModelLoadFailed):
        await planned(catalog, file)


# ---------------------------------------------------------------- loading again


async def test_the_same_file_and_parameters_need_no_new_load(catalog: Catalog) -> None:
    file = model(catalog)
    first = await planned(catalog, file, n_ctx=32_768)
    assert first.same_as(await planned(catalog, file, n_ctx=32_768))


async def test_memory_that_came_free_meanwhile_is_no_reason_to_load_again(
    catalog: Catalog,
) -> None:
    file = model(catalog, **ENORMOUS)
    lowered = await planned(catalog, file, n_ctx=1_048_576)
    before = await serving(catalog, needed_bytes=ENDLESS_BYTES, mapped_bytes=0)
    roomier = await planned(catalog, file, before, n_ctx=1_048_576)
    assert lowered.params != roomier.params
    assert lowered.same_as(roomier)


async def test_other_parameters_or_another_file_need_a_new_load(catalog: Catalog) -> None:
    file = model(catalog)
    first = await planned(catalog, file)
    assert not first.same_as(await planned(catalog, file, n_ctx=512))
    assert not first.same_as(await planned(catalog, model(catalog, "other.gguf")))
    assert not first.same_as(replace(first, file=replace(file, modified_s=file.modified_s + 1)))


async def test_a_file_that_ends_before_its_tensors_is_refused_before_an_engine_sees_it(
    catalog: Catalog,
) -> None:
    path = catalog.models_dir / "cut.gguf"
    path.write_bytes(with_tensors(tensor("a"), data=64, values=LLAMA_VALUES))
    with pytest.raises(ModelLoadFailed, match="is the file complete"):
        await planned(catalog, catalog.find("cut"))


async def test_all_parts_of_a_split_model_have_to_be_whole(catalog: Catalog) -> None:
    file = model(catalog, "big-00001-of-00002.gguf")
    with pytest.raises(ModelLoadFailed, match="00002-of-00002"):
        await planned(catalog, file)
    second = catalog.models_dir / "big-00002-of-00002.gguf"
    second.write_bytes(with_tensors(tensor("a"), data=64))
    with pytest.raises(ModelLoadFailed, match=r"00002-of-00002.*is the file complete"):
        await planned(catalog, file)
    second.write_bytes(with_tensors(tensor("a"), data=128))
    assert (await planned(catalog, file)).fits_beside


async def test_no_part_of_a_split_model_leads_out_of_the_folder(tmp_path: Path) -> None:
    (tmp_path / "models").mkdir()
    catalog = Catalog(tmp_path / "models")
    file = model(catalog, "big-00001-of-00002.gguf")
    write_llama(tmp_path / "elsewhere.gguf")
    (catalog.models_dir / "big-00002-of-00002.gguf").symlink_to(tmp_path / "elsewhere.gguf")
    with pytest.raises(ModelLoadFailed, match="00002-of-00002"):
        await planned(catalog, file)


async def test_sequences_decoded_in_parallel_need_memory_of_their_own(catalog: Catalog) -> None:
    shape = {"block_count": 4, "context_length": TRAINED, "ssm.inner_size": 8192}
    keys: dict[str, Any] = {f"mamba2.{key}": value for key, value in shape.items()}
    keys |= {"general.architecture": "mamba2", "mamba2.ssm.state_size": 128}
    file = model(catalog, **keys)
    few = await plan_load(catalog, file, DEFAULTS, {}, n_seq_max=2)
    many = await plan_load(catalog, file, DEFAULTS, {}, n_seq_max=17)
    assert many.needed_bytes - few.needed_bytes >= 15 * 4 * 4 * 1024**2


# ---------------------------------------------------------------- settings beside the file


async def test_the_settings_beside_a_file_override_the_defaults_and_a_request_both(
    catalog: Catalog,
) -> None:
    file = model(catalog)
    settings = ModelSettings(system="Be brief.", template="{{ x }}", parameters={"num_ctx": 512})
    write_settings(file.path, settings)
    params = (await planned(catalog, file)).params
    assert (params.n_ctx, params.system_prompt, params.chat_template) == (
        512,
        "Be brief.",
        "{{ x }}",
    )
    assert (await planned(catalog, file, n_ctx=256)).params.n_ctx == 256


async def test_changed_settings_are_another_plan(catalog: Catalog) -> None:
    file = model(catalog)
    before = await planned(catalog, file)
    assert before.same_as(await planned(catalog, file))
    write_settings(file.path, ModelSettings(parameters={"top_k": 1}))
    assert not before.same_as(await planned(catalog, file))


async def test_a_model_with_invalid_settings_is_not_loaded(catalog: Catalog) -> None:
    file = model(catalog)
    settings_path(file.path).write_text("{")
    with pytest.raises(ModelLoadFailed, match=r"tiny\.distiller\.json: is invalid"):
        await planned(catalog, file)
