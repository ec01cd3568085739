"""The converter against transformers: the tiny checkpoints are what it would save, and real saved ones
convert exactly.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import gguf
import numpy as np
import pytest
from checkpoints import make_checkpoint
from test_convert import gguf_name
from tiny_checkpoint import CONFIGS, shapes

from g4cpp.convert import convert

pytestmark = pytest.mark.parity
torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")


@pytest.mark.parametrize("variant", CONFIGS)
def test_tiny_checkpoints_have_the_reference_tensors(variant: str) -> None:
    settings = {
        key: value for key, value in CONFIGS[variant].items() if key not in ("architectures", "model_type")
    }
    gemma3 = variant == "gemma3"
    config = (transformers.Gemma3TextConfig if gemma3 else transformers.Gemma4TextConfig)(**settings)
    with torch.device("meta"):
        model = (transformers.Gemma3ForCausalLM if gemma3 else transformers.Gemma4ForCausalLM)(config)
    state = {
        name: tuple(value.shape) for name, value in model.state_dict().items() if name != "lm_head.weight"
    }
    assert shapes(CONFIGS[variant]) == state


def converted(folder: Path, out: Path) -> dict[str, Any]:
    convert(folder, out, progress=False)
    return {tensor.name: tensor for tensor in gguf.GGUFReader(out).tensors}


@pytest.mark.parametrize("kind", ["dense_e", "moe"])
def test_saved_checkpoints_convert_exactly(tmp_path: Path, kind: str) -> None:
    folder = make_checkpoint(kind, tmp_path / kind)
    tensors = converted(folder, tmp_path / "m.gguf")
    model = transformers.Gemma4ForCausalLM.from_pretrained(folder, dtype=torch.bfloat16)
    state = {name: value for name, value in model.state_dict().items() if name != "lm_head.weight"}
    assert len(tensors) == len(state) + 1
    for name, value in state.items():
        tensor = tensors[gguf_name(name, "gemma4")]
        raw = np.ascontiguousarray(tensor.data).view(np.uint8)
        back = gguf.quants.dequantize(raw, tensor.tensor_type).reshape(value.shape)
        assert np.array_equal(back, value.float().numpy()), name
