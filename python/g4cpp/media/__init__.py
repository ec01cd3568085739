"""Images, sounds and videos: from what a user holds to the numbers that Gemma 4's towers read.

    from g4cpp.media import Image, image_patches
    patches = image_patches(Image("cat.png", tokens=280), patch_size=16, pooling=3)

The steps and their figures are those of the reference's processors (transformers 5.23, gemma4 and gemma4_unified) and
stand in docs/media.md. Needs the extra [multimodal]; importing this package does not load its libraries.
"""

from __future__ import annotations

from g4cpp.media.audio import audio_clips, load_audio
from g4cpp.media.image import Patches, image_patches, load_image
from g4cpp.media.mel import audio_features, audio_tokens
from g4cpp.media.sizes import BUDGETS, DETAILS, image_size, image_tokens
from g4cpp.media.sources import Audio, Image, Video
from g4cpp.media.video import time_stamp, video_frames

__all__ = [
    "BUDGETS",
    "DETAILS",
    "Audio",
    "Image",
    "Patches",
    "Video",
    "audio_clips",
    "audio_features",
    "audio_tokens",
    "image_patches",
    "image_size",
    "image_tokens",
    "load_audio",
    "load_image",
    "time_stamp",
    "video_frames",
]
