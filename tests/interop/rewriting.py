"""Rewrites a GGUF file with the `gguf` package: the same model in the other forms that published files have."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import gguf
import numpy as np
from numpy.typing import NDArray

Tensors = dict[str, NDArray[Any]]
"""Name -> data, slowest dimension first, in the file's own encoding."""


def rewrite(
    source: Path,
    target: Path,
    tensors: Tensors | None = None,
    per_part: int = 0,
    keys: dict[str, Any] | None = None,
) -> Path:
    """Copies every key of `source`, with `tensors` (by default its own); the first file written.

    A tensor has the type of the one it is made from: all matrices of `source` share one; float32 data stays so.
    per_part: tensors per part of a split file. keys: values for some keys, None for none.
    """
    reader = gguf.GGUFReader(source)
    types = {tensor.name: tensor.tensor_type for tensor in reader.tensors}
    matrices = types.get("blk.0.attn_q.weight")
    architecture = reader.fields["general.architecture"].contents()
    writer = gguf.GGUFWriter(target, architecture, split_max_tensors=per_part)
    for key, field in reader.fields.items():
        value = (keys or {}).get(key, field.contents())
        if not key.startswith("GGUF.") and key != "general.architecture" and value is not None:
            inner = field.types[-1] if field.types[0] is gguf.GGUFValueType.ARRAY else None
            writer.add_key_value(key, value, field.types[0], inner)
    for name, data in (tensors_of(source) if tensors is None else tensors).items():
        type = gguf.GGMLQuantizationType.F32 if data.dtype == np.float32 else types.get(name, matrices)
        writer.add_tensor(name, np.ascontiguousarray(data), raw_dtype=type)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    if not per_part:
        return target
    return min(target.parent.glob(f"{target.stem}-00001-of-*.gguf"))


def tensors_of(source: Path) -> Tensors:
    return {tensor.name: tensor.data for tensor in gguf.GGUFReader(source).tensors}


def fused_qkv(tensors: Tensors) -> Tensors:
    """attn_q, attn_k and attn_v as one attn_qkv; where V is K, its rows come twice. Layers with q only stay."""
    out = dict(tensors)
    for name in tensors:
        if name.endswith(".attn_k.weight"):
            block = name.removesuffix("attn_k.weight")
            q, k = out.pop(block + "attn_q.weight"), out.pop(block + "attn_k.weight")
            v = out.pop(block + "attn_v.weight", k)
            out[block + "attn_qkv.weight"] = np.concatenate([q, k, v])
    return out


def split_gate_up(tensors: Tensors) -> Tensors:
    """The experts' ffn_gate_up_exps as ffn_gate_exps and ffn_up_exps."""
    out = dict(tensors)
    for name, fused in tensors.items():
        if name.endswith(".ffn_gate_up_exps.weight"):
            del out[name]
            block, half = name.removesuffix("ffn_gate_up_exps.weight"), fused.shape[1] // 2
            out[block + "ffn_gate_exps.weight"] = fused[:, :half]
            out[block + "ffn_up_exps.weight"] = fused[:, half:]
    return out


def with_shared_kv(tensors: Tensors) -> Tensors:
    """K and V tensors in the layers that read another's cache, as published files have them: copies of
    those of the layer two before, which the model must not use.
    """
    out = dict(tensors)
    for name in tensors:
        block = name.removesuffix("attn_q.weight")
        if name.endswith(".attn_q.weight") and block + "attn_k.weight" not in tensors:
            donor = f"blk.{int(block.split('.')[1]) % 2}."  # of the same kind: these alternate
            for part in ("attn_k.weight", "attn_v.weight", "attn_k_norm.weight"):
                out[block + part] = out[donor + part]
    return out


def as_llama_converts(source: Path, target: Path) -> Path:
    """A projector file of ours in bfloat16 with the keys and types llama.cpp's own converter gives it: no word on
    the activation, the pooling or an absent tower, 128 mel bins where there are none, float32 where a name says
    convolution or patch.
    """
    tensors = tensors_of(source)
    for name in ("a.input_projection.weight", "v.patch_embd.weight"):
        if name in tensors and tensors[name].dtype != np.float32:
            bits = tensors[name].view(np.uint16).astype(np.uint32)
            tensors[name] = (bits << np.uint32(16)).view(np.float32)
    fields = gguf.GGUFReader(source).fields
    keys: dict[str, Any] = dict.fromkeys(("clip.use_gelu", "clip.vision.projector.scale_factor"))
    if "clip.audio.num_mel_bins" in fields:
        keys["clip.audio.num_mel_bins"] = 128
    else:
        keys["clip.has_audio_encoder"] = None
    return rewrite(source, target, tensors, keys=keys)


def swapped_convolution_norms(source: Path, target: Path) -> Path:
    """A projector file whose audio blocks have conv_norm and norm_conv in each other's place."""
    tensors = tensors_of(source)
    for name in [name for name in tensors if name.endswith(".conv_norm.weight")]:
        other = name.replace("conv_norm", "norm_conv")
        tensors[name], tensors[other] = tensors[other], tensors[name]
    return rewrite(source, target, tensors)


def dequantised(source: Path, target: Path) -> Path:
    """`source` with every tensor as F32: the very same weights, and nothing for llama.cpp to round activations to.

    By the core's writer: the `gguf` package takes 20 s and more for a vocabulary of 262,144.
    """
    from g4cpp import _core

    file, writer = _core.GgufFile(str(source)), _core.GgufWriter(str(target))
    for key in file.keys():  # noqa: SIM118
        value = file.get(key)
        if isinstance(value, list):
            kinds = {str: "string", float: "f32", int: "i32"}
            writer.add_array(key, value, kinds[type(value[0])])  # type: ignore[arg-type]
        else:
            scalars = {str: "string", float: "f32", int: "u32", bool: "bool"}
            writer.add(key, value, scalars[type(value)])  # type: ignore[arg-type]
    for tensor in file.tensors():
        writer.declare_tensor(tensor.name, "F32", tensor.shape)
    writer.write_header()
    for tensor in file.tensors():
        values = _core.dequantize(tensor.dtype, file.tensor_data(tensor.name))
        writer.write_tensor(tensor.name, values.view(np.uint8))
    writer.finish()
    return target
