"""transformers as the oracle of the model tests.

The bfloat16 yardstick is transformers with attention's products and softmax in float32 and only their result
rounded ("f32-attention"): an attention function registered under that name. The floor is what accumulation
order alone does to it: the same model with every weight product accumulated in float64 and rounded once.
Needs torch and transformers (extra [parity]).
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from transformers import AutoModelForCausalLM
from transformers.masking_utils import ALL_MASK_ATTENTION_FUNCTIONS
from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS

Array = NDArray[np.float32]
ATTENTION = "f32_attention"


def f32_attention(
    module: torch.nn.Module,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    mask: torch.Tensor | None,
    scaling: float | None = None,
    **_: Any,
) -> tuple[torch.Tensor, torch.Tensor]:
    """q [1, heads, n, dim], k and v [1, kv heads, n, dim] -> [1, n, heads, dim] in q's type, and the masked
    logits [1, heads, n, n].
    """
    group = query.shape[1] // key.shape[1]
    key, value = (t.repeat_interleave(group, 1).float() for t in (key, value))
    logits = query.float() @ key.transpose(2, 3) * (module.head_dim**-0.5 if scaling is None else scaling)
    if mask is not None:
        logits = logits + mask.float()
    out = torch.softmax(logits, -1) @ value
    return out.transpose(1, 2).contiguous().to(query.dtype), logits


ALL_ATTENTION_FUNCTIONS.register(ATTENTION, f32_attention)
ALL_MASK_ATTENTION_FUNCTIONS.register(ATTENTION, ALL_MASK_ATTENTION_FUNCTIONS["eager"])


def nmse(values: NDArray[Any], reference: NDArray[Any]) -> float:
    """Squared error over the reference's squared size; NaN or infinity when `values` has any."""
    a, b = np.asarray(values, np.float64), np.asarray(reference, np.float64)
    assert a.shape == b.shape
    return float(((a - b) ** 2).sum() / (b**2).sum())


def row_nmse(values: NDArray[Any], reference: NDArray[Any]) -> NDArray[np.float64]:
    """nmse of each row."""
    a, b = np.asarray(values, np.float64), np.asarray(reference, np.float64)
    result: NDArray[np.float64] = ((a - b) ** 2).sum(-1) / (b**2).sum(-1)
    return result


def identical_rows(values: NDArray[Any], reference: NDArray[Any]) -> NDArray[np.float64]:
    """[layers, tokens, hidden] twice -> the share of each layer's rows that are the same to the last bit."""
    result: NDArray[np.float64] = (values == reference).all(-1).mean(-1)
    return result


@dataclass
class Routing:
    """One layer's router: probabilities [tokens, experts] as computed and in float64, chosen [tokens, k]."""

    probabilities: Array
    exact: NDArray[np.float64]
    chosen: NDArray[np.int64]

    def ties(self) -> list[int]:
        """Tokens whose k-th and next expert are closer than float32 can tell.

        Each of the two probabilities may be off by the largest relative error the reference itself makes
        against float64 on the same input; an implementation that sums in another order errs as much.
        """
        noise = float(np.abs(self.probabilities / self.exact - 1).max())
        k = self.chosen.shape[1]
        ordered = -np.sort(-self.exact, axis=1)
        gap = ordered[:, k - 1] / ordered[:, k] - 1
        return [int(token) for token in np.flatnonzero(gap <= 4 * noise)]  # 2 experts, 2 implementations


@dataclass
class Trace:
    """A forward pass: logits [tokens, vocab]; per layer input and output [layers, tokens, hidden] and, for
    mixtures of experts, the router; the largest attention logit.
    """

    logits: Array
    inputs: Array
    outputs: Array
    routing: list[Routing] = field(default_factory=list)
    largest_attention_logit: float = 0.0


class Reference:
    """A checkpoint loaded in one type. Not thread-safe: passes hook the model."""

    def __init__(self, folder: Path, dtype: torch.dtype) -> None:
        self.model = AutoModelForCausalLM.from_pretrained(folder, dtype=dtype, attn_implementation=ATTENTION).eval()
        self.dtype = dtype

    def trace(self, ids: Sequence[int], forced: Array | None = None) -> Trace:
        """Runs `ids`. With `forced` [layers, tokens, hidden] each layer reads that instead of the layer
        before it.
        """
        inputs: list[Array] = []
        outputs: list[Array] = []
        routing: list[Routing] = []
        largest = [0.0]

        def before(_: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[Any, Any]:
            hidden, *rest = args
            if forced is not None:
                hidden = torch.from_numpy(forced[len(inputs)]).to(self.dtype)[None]
            inputs.append(as_array(hidden[0]))
            return (hidden, *rest), kwargs

        def attended(_module: Any, _args: Any, out: Any) -> None:
            visible = out[1][out[1] > -1e30]  # a masked logit is the type's lowest number
            if visible.numel():  # float16 references overflow to NaN
                largest[0] = max(largest[0], float(visible.abs().max()))

        with contextlib.ExitStack() as stack:
            for layer in self.model.model.layers:
                hooks = [
                    layer.register_forward_pre_hook(before, with_kwargs=True),
                    layer.register_forward_hook(lambda _m, _a, out: outputs.append(as_array(out[0]))),
                    layer.self_attn.register_forward_hook(attended),
                ]
                if hasattr(layer, "router"):
                    hooks.append(
                        layer.router.register_forward_hook(lambda m, a, out: routing.append(routed(m, a, out)))
                    )
                for hook in hooks:
                    stack.callback(hook.remove)
            with torch.no_grad():
                logits = as_array(self.model(torch.tensor([list(ids)])).logits[0])
        return Trace(logits, np.stack(inputs), np.stack(outputs), routing, largest[0])


def as_array(tensor: torch.Tensor) -> Array:
    result: Array = tensor.float().numpy().copy()
    return result


def routed(router: Any, args: tuple[torch.Tensor, ...], out: tuple[torch.Tensor, ...]) -> Routing:
    hidden = args[0].double()
    hidden = hidden * (hidden.pow(2).mean(-1, keepdim=True) + router.eps) ** -0.5
    scores = (hidden * router.scale.double() * router.scalar_root_size) @ router.proj.weight.double().T
    return Routing(as_array(out[0]), torch.softmax(scores, -1).numpy(), out[2].numpy().copy())


@contextlib.contextmanager
def float64_products() -> Iterator[None]:
    """Inside, weight products (experts' too) accumulate in float64 and round once to their type."""
    functional = torch.nn.functional
    linear, grouped = functional.linear, functional.grouped_mm

    def linear64(x: torch.Tensor, w: torch.Tensor, bias: torch.Tensor | None = None) -> torch.Tensor:
        return linear(x.double(), w.double(), None if bias is None else bias.double()).to(x.dtype)

    def grouped64(x: torch.Tensor, w: torch.Tensor, *, offs: torch.Tensor) -> torch.Tensor:
        parts = torch.tensor_split(x, offs.tolist()[:-1])
        return torch.cat([(part.double() @ w[e].double()).to(x.dtype) for e, part in enumerate(parts)])

    functional.linear, functional.grouped_mm = linear64, grouped64
    try:
        yield
    finally:
        functional.linear, functional.grouped_mm = linear, grouped
