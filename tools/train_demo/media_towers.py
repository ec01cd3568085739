"""The demo model's vision and audio tower: transformers' classes, their sizes, what they read, how they begin."""

from __future__ import annotations

import math
from typing import Any

import torch
import torch.nn.functional as F  # noqa: N812
from torch import nn

from g4cpp.media.mel import _triangles

# Enough positions for the widest image of the largest budget (1120 tokens, 40:1): 211 tokens of 3 patches.
VISION = {
    "hidden_size": 128, "intermediate_size": 384, "num_hidden_layers": 4, "num_attention_heads": 4,
    "num_key_value_heads": 4, "head_dim": 32, "position_embedding_size": 640,
}  # fmt: skip
AUDIO = {
    "hidden_size": 128, "num_hidden_layers": 3, "num_attention_heads": 4, "output_proj_dims": 128,
    "use_clipped_linears": False,
}  # fmt: skip


class Tower(nn.Module):
    """A tower, its projection, and linear helpers that name the classes and do not ship."""

    def __init__(self, name: str, tower: nn.Module, embedder: nn.Module, width: int, classes: tuple[int, ...]) -> None:
        super().__init__()
        self.name, self.tower, self.embedder = name, tower, embedder
        self.helpers = nn.ModuleList(nn.Linear(width, count) for count in classes)

    def forward(self, batch: dict[str, Any], device: str) -> tuple[torch.Tensor, list[torch.Tensor]]:
        """Soft tokens [rows, tokens, text hidden] and the helpers' logits."""
        if self.name == "image":
            pixels, places = patches(batch["pixels"].to(device, non_blocking=True), *batch["size"])
            seen = self.tower(pixel_values=pixels, pixel_position_ids=places).last_hidden_state
            seen = seen.view(pixels.shape[0], -1, seen.shape[-1])
        else:
            heard = mel(batch["samples"].to(device, non_blocking=True))
            heard = masked(heard) if self.training else heard
            seen = self.tower(heard, torch.ones(heard.shape[:2], dtype=torch.bool, device=device)).last_hidden_state
        normed = self.embedder.embedding_pre_projection_norm(seen)
        mean = normed.float().mean(1)
        return self.embedder.embedding_projection(normed), [helper(mean) for helper in self.helpers]


def patches(pixels: torch.Tensor, width: int, height: int) -> tuple[torch.Tensor, torch.Tensor]:
    """[rows, h, w, 3] uint8 -> values 0..1 [rows, patches, 768] at width x height, and (x, y) [rows, patches, 2]."""
    x = pixels.movedim(-1, 1).float()
    x = F.interpolate(x, size=(height, width), mode="bicubic", antialias=True).round().clamp(0, 255) / 255
    x = x.unflatten(3, (-1, 16)).unflatten(2, (-1, 16)).permute(0, 2, 4, 3, 5, 1).flatten(3).flatten(1, 2)
    y_at, x_at = torch.meshgrid(
        torch.arange(height // 16, device=x.device), torch.arange(width // 16, device=x.device), indexing="ij"
    )
    return x, torch.stack((x_at, y_at), -1).view(1, -1, 2).expand(x.shape[0], -1, -1)


def mel(samples: torch.Tensor) -> torch.Tensor:
    """[rows, n] -> log-mel frames [rows, frames, 128]: g4cpp.media.mel on the device of the samples."""
    frames = F.pad(samples, (160, 0))[:, :-1].unfold(1, 320, 160)
    window = torch.hann_window(320, periodic=True, device=samples.device)
    magnitudes = torch.fft.rfft(frames * window, n=512).abs()
    return torch.log(magnitudes.double() @ torch.from_numpy(_triangles()).to(samples.device) + 1e-3).float()


def masked(frames: torch.Tensor) -> torch.Tensor:
    """A band of up to 14 of the 128 bins and up to 6 frames of each row silenced, for half of the rows each."""
    rows, n, bins = frames.shape
    device = frames.device
    for size, widest, shape in ((bins, 14, (rows, 1, bins)), (n, 6, (rows, n, 1))):
        width = torch.randint(0, widest + 1, (rows, 1), device=device) * (torch.rand(rows, 1, device=device) < 0.5)
        first = (torch.rand(rows, 1, device=device) * (size - width)).long()
        at = torch.arange(size, device=device)
        frames = frames.masked_fill(((at >= first) & (at < first + width)).view(shape), math.log(1e-3))
    return frames


@torch.no_grad()
def draw_weights(module: nn.Module) -> None:
    """Unit streams, attention logits small enough to learn from, positions as sines that reach past the trained."""
    for name, p in module.named_parameters():
        if name.endswith(("q_norm.weight", "k_norm.weight")):
            p.fill_(p.numel() ** -0.25)
        elif "position_embedding_table" in name:
            steps = torch.arange(p.shape[1])[:, None] / 100 ** torch.linspace(0, 1, p.shape[2] // 4)
            p.zero_()
            p[0, :, : p.shape[2] // 2] = torch.cat((steps.sin(), steps.cos()), 1) / 2
            p[1, :, p.shape[2] // 2 :] = torch.cat((steps.sin(), steps.cos()), 1) / 2
        elif p.dim() > 1:
            p.normal_(std=p[0].numel() ** -0.5)
        elif name.endswith("bias") or "per_dim_scale" in name:
            p.zero_()
        else:
            p.fill_(0.5 if "post_" in name else 1.0)
