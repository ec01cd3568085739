"""The tensor table of each architecture against files: it names what converted and published files hold, with
their shapes, and a fused file is the same model.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from tiny_checkpoint import CONFIGS, make_tiny
from tiny_gguf import KINDS

from g4cpp import _core
from g4cpp.convert import convert

sys.path.append(str(Path(__file__).parents[1] / "interop"))
from rewriting import fused_qkv, rewrite, split_gate_up, tensors_of, with_shared_kv

Tiny = Callable[..., Path]
READ_AS_CONFIG = {"rope_freqs.weight"}


def of_shared_layer(file: _core.GgufFile, name: str) -> bool:
    """A key or value tensor of a layer that reads another's cache: published files carry or lack them."""
    match = re.fullmatch(r"blk\.(\d+)\.attn_(k|v|k_norm)\.weight", name)
    architecture = file.get("general.architecture")
    shared = file.get(f"{architecture}.attention.shared_kv_layers", 0)
    return match is not None and int(match[1]) >= file.get(f"{architecture}.block_count") - shared


def check_table(path: Path) -> dict[str, bool]:
    """Every required tensor is there, every tensor is known, shapes agree; -> whether each is required."""
    file = _core.GgufFile(str(path))
    table = {name: (tuple(shape), required) for name, shape, required in _core.tensor_table(file)}
    assert len(table) == len(_core.tensor_table(file))
    held = {tensor.name: tuple(tensor.shape) for tensor in file.tensors()}
    unread = {name for name in held.keys() - table.keys() if not of_shared_layer(file, name)}
    assert unread <= READ_AS_CONFIG
    assert {name for name, (_, required) in table.items() if required} <= held.keys()
    for name in held.keys() & table.keys():
        assert held[name] == table[name][0], name
    return {name: required for name, (_, required) in table.items()}


@pytest.mark.parametrize("variant", CONFIGS)
def test_converted_files(tmp_path: Path, variant: str) -> None:
    folder = make_tiny(tmp_path / variant, variant).folder
    convert(folder, tmp_path / "m.gguf", progress=False)
    check_table(tmp_path / "m.gguf")


@pytest.mark.parametrize("kind", KINDS)
def test_files_of_the_gguf_package(tiny: Tiny, kind: str) -> None:
    assert check_table(tiny(kind))["blk.0.attn_norm.weight"]


FORMS = {
    "fused-dense_e": ("dense_e", fused_qkv),
    "fused-dense_k": ("dense_k", fused_qkv),
    "split-moe": ("moe", split_gate_up),
}


@pytest.mark.parametrize("form", FORMS)
def test_fused_and_split_forms_are_the_same_model(tiny: Tiny, tmp_path: Path, form: str) -> None:
    kind, transform = FORMS[form]
    path = rewrite(tiny(kind), tmp_path / f"{form}.gguf", transform(tensors_of(tiny(kind))))
    check_table(path)
    ids = [2, *np.random.default_rng(0).integers(24, 300, 60).tolist()]
    ours, plain = (
        _core.Engine(_core.GgufFile(str(file)), compute="f32", n_ctx=128, n_threads=1).trace(ids)["logits"]
        for file in (path, tiny(kind))
    )
    assert np.array_equal(ours, plain)


def test_layers_that_share_keys_may_carry_their_own(tiny: Tiny, tmp_path: Path) -> None:
    """Published files hold them; the model must not read them."""
    path = rewrite(tiny("dense_e"), tmp_path / "m.gguf", with_shared_kv(tensors_of(tiny("dense_e"))))
    ids = [2, *np.random.default_rng(0).integers(24, 300, 60).tolist()]
    ours, plain = (
        _core.Engine(_core.GgufFile(str(file)), compute="f32", n_ctx=128, n_threads=1).trace(ids)["logits"]
        for file in (path, tiny("dense_e"))
    )
    assert np.array_equal(ours, plain)
