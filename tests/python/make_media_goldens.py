"""Writes tests/data/goldens/media.npz: samples of what transformers' processors give, for the tests without torch.

    pip install '.[test,parity]' && python tests/python/make_media_goldens.py

pixels_W_H_B: every 887th value of the patches (as 0..255) of a W x H pattern at B tokens, Pillow processor;
mel_N: every 41st value of the log-mel frames of a chirp of N samples.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from transformers.models.gemma4.feature_extraction_gemma4 import Gemma4AudioFeatureExtractor
from transformers.models.gemma4.image_processing_pil_gemma4 import Gemma4ImageProcessorPil

IMAGES = [
    (224, 224, 280), (768, 768, 280), (333, 517, 280), (1600, 1200, 280), (48, 48, 70), (640, 480, 70), (640, 480, 140),
    (640, 480, 560), (640, 480, 1120), (1000, 25, 280), (25, 1000, 140), (7, 5, 70),
]  # fmt: skip
SOUNDS = [161, 4000, 16_001]


def main() -> None:
    goldens = {}
    for width, height, budget in IMAGES:
        y, x = np.mgrid[:height, :width]
        source = np.stack([x * 7 + y * 3, x * y // 5, (x ^ y) * 5], -1).astype(np.uint8)
        processor = Gemma4ImageProcessorPil(max_soft_tokens=budget)
        out = processor(source, return_tensors="np", input_data_format="channels_last")
        values = out["pixel_values"][0][: out["num_soft_tokens_per_image"][0] * 9].reshape(-1)
        goldens[f"pixels_{width}_{height}_{budget}"] = np.round(values[::887] * 255).astype(np.uint8)
    for length in SOUNDS:
        time = np.arange(length) / 16_000
        samples = (0.5 * np.sin(2 * np.pi * (200 * time + 3000 * time**2))).astype(np.float32)
        out = Gemma4AudioFeatureExtractor()([samples], return_tensors="np")
        goldens[f"mel_{length}"] = out["input_features"][0][out["input_features_mask"][0]].reshape(-1)[::41]
    np.savez_compressed(Path(__file__).parents[1] / "data" / "goldens" / "media.npz", **goldens)


if __name__ == "__main__":
    main()
