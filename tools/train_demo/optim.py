"""Muon for the matrices, Adam for the rest, on float32 masters of a bfloat16 model.

The model computes in bfloat16 exactly as it will be used (rounded weights, rounded embedding scale); updates go to the
masters, which are rounded into the model after each step. Muon (Jordan et al., 2024): the momentum of a weight matrix
is replaced by a nearly orthogonal matrix, through five Newton-Schulz steps.
"""

from __future__ import annotations

import torch

MUON_LR, MUON_MOMENTUM = 0.02, 0.95
ADAM_LR, ADAM_BETAS, ADAM_EPS = 3e-3, (0.9, 0.95), 1e-10
DECAY = 0.1
CLIP = 1.0


def orthogonal(batch: torch.Tensor) -> torch.Tensor:
    """Newton-Schulz on [count, rows, columns]; singular values end between about 0.7 and 1.2."""
    a, b, c = 3.4445, -4.7750, 2.0315
    x = batch.bfloat16()
    tall = x.shape[1] > x.shape[2]
    x = x.mT if tall else x
    x = x / (x.norm(dim=(1, 2), keepdim=True) + 1e-7)
    for _ in range(5):
        gram = x @ x.mT
        x = a * x + (b * gram + c * gram @ gram) @ x
    return (x.mT if tall else x).float()


class Optimizer:
    """`step(scale)` takes the gradients off the model, `scale` multiplies both learning rates."""

    def __init__(self, model: torch.nn.Module) -> None:
        named = list(model.named_parameters())
        self.pairs = [(name, p, p.detach().float().clone()) for name, p in named]
        matrix = {name for name, p in named if p.dim() == 2 and "embed_tokens" not in name}
        shapes: dict[tuple[int, ...], list[tuple[torch.nn.Parameter, torch.Tensor]]] = {}
        for name, p, master in self.pairs:
            if name in matrix:
                shapes.setdefault(tuple(p.shape), []).append((p, master))
        self.groups = list(shapes.values())
        self.momentum = [torch.zeros(len(g), *g[0][1].shape, device=g[0][1].device) for g in self.groups]
        self.others = [(p, master) for name, p, master in self.pairs if name not in matrix]
        masters = [master for _, master in self.others]
        self.adam = torch.optim.AdamW(
            masters, lr=ADAM_LR, betas=ADAM_BETAS, eps=ADAM_EPS, weight_decay=0.0, fused=masters[0].is_cuda
        )

    @torch.no_grad()
    def step(self, scale: float) -> torch.Tensor:
        """Returns the gradient norm before clipping."""
        gradients = [p.grad for _, p, _ in self.pairs]
        norm = torch.linalg.vector_norm(torch.stack(torch._foreach_norm(gradients)).float())
        for p, master in self.others:
            master.grad = p.grad.float() * (CLIP / norm.clamp(min=CLIP))
        for group in self.adam.param_groups:
            group["lr"] = ADAM_LR * scale
        self.adam.step()
        for members, momentum in zip(self.groups, self.momentum, strict=True):
            gradient = torch.stack([p.grad for p, _ in members]).float()
            momentum.lerp_(gradient, 1 - MUON_MOMENTUM)
            update = orthogonal(gradient.lerp(momentum, MUON_MOMENTUM))
            rows, columns = update.shape[1:]
            rate = MUON_LR * scale * max(1.0, rows / columns) ** 0.5
            for (_, master), change in zip(members, update, strict=True):
                master.mul_(1 - MUON_LR * scale * DECAY).sub_(change, alpha=rate)
        torch._foreach_copy_([p for _, p, _ in self.pairs], [master for _, _, master in self.pairs])
        for _, p, _ in self.pairs:
            p.grad = None
        return norm

    def state(self) -> dict[str, object]:
        return {
            "masters": {name: master for name, _, master in self.pairs},
            "momentum": self.momentum,
            "adam": self.adam.state_dict(),
        }

    @torch.no_grad()
    def load(self, state: dict) -> None:
        for name, p, master in self.pairs:
            master.copy_(state["masters"][name])
            p.copy_(master)
        for mine, theirs in zip(self.momentum, state["momentum"], strict=True):
            mine.copy_(theirs)
        self.adam.load_state_dict(state["adam"])
