"""From media to soft tokens: prepared here, encoded by the core with a projector file, remembered by their content.

The projector's weights are loaded when the first medium comes. Encoding takes turns between threads.
"""

from __future__ import annotations

import threading
import warnings
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from g4cpp.errors import ArgumentError, ModelError
from g4cpp.media.audio import Audio, audio_features, load_audio
from g4cpp.media.cache import ClipCache, content_key, source_digest, value_digest
from g4cpp.media.content import Kind, Medium, as_medium, kind_of
from g4cpp.media.image import Image, Patches, image_patches
from g4cpp.media.video import Video, video_frames
from g4cpp.media.projector import Found
from g4cpp.prompt import Clip

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from g4cpp import _core
    from g4cpp.media.projector import Found

    Prepared = Patches | NDArray[np.float32]

CACHE_BYTES = 256 << 20
"""Of soft tokens: some 40 images of 280 tokens for the widest model, 80 for E4B's."""


class MediaEncoder:
    """The eyes and ears of one model, which may have none."""

    def __init__(self, found: Found, *, compute: str, n_threads: int, cache_bytes: int = CACHE_BYTES) -> None:
        self._found = found
        self._compute, self._n_threads = compute, n_threads
        self._core: _core.MediaEncoder | None = None
        self._lock = threading.RLock()
        self.cache = ClipCache(cache_bytes)

    def encode(self, medium: Medium, poll: Callable[[], None] | None = None) -> Sequence[Clip]:
        """An image's tokens, those of each frame of a video, or those of sound in clips of 30 s at most.

        Raises ArgumentError (unreadable, or this model does not see or hear), FileError, ModelError, MemoryPlanError.
        """
        kind = kind_of(medium)
        with self._lock:
            core = self._loaded(kind)
            digest, prepared = source_digest(medium), None
            if digest is None:
                prepared = _prepare(core, medium)
                digest = value_digest(*(value for value, _ in prepared))
            known = self.cache.get(digest)
            if known is not None:
                return known
            clips: list[Clip] = []
            for place, (value, seconds) in enumerate(prepared or _prepare(core, medium)):
                if poll is not None:
                    poll()
                if isinstance(value, Patches):
                    rows = core.encode_image(value.values, value.cols, value.rows, poll)
                else:
                    rows = core.encode_audio(value, poll)
                rows.setflags(write=False)  # shared by every prompt with this medium
                clips.append(Clip(kind, rows, content_key(digest, place), seconds))
            self.cache.put(digest, clips)
            return clips

    def embed(self, kind: Kind, source: object, poll: Callable[[], None], **options: Any) -> NDArray[np.float32]:
        """All tokens of a medium or a source of one, [n, hidden], the caller's own. Raises as encode() does."""
        clips = self.encode(as_medium(kind, source, kind, **options), poll)
        return np.concatenate([clip.rows for clip in clips])

    def close(self) -> None:
        with self._lock:
            self._core = None
            self._found = Found(reason="this model is closed")
            self.cache.clear()

    def _loaded(self, kind: str) -> _core.MediaEncoder:
        from g4cpp import _core

        info = self._found.info
        if self._found.file is None or info is None:
            raise ArgumentError(f"[media] {kind}: a model that takes {kind} expected, but {self._found.reason}")
        if kind == "audio" and info.audio is None:
            raise ArgumentError(f"[media] audio: a projector that hears expected, {info.path} only sees")
        if kind != "audio" and info.vision is None:
            raise ArgumentError(f"[media] {kind}: a projector that sees expected, {info.path} only hears")
        if self._core is None:
            self._core = _core.MediaEncoder(self._found.file, compute=self._compute, n_threads=self._n_threads)
        return self._core


def _prepare(core: _core.MediaEncoder, medium: Medium) -> list[tuple[Prepared, float | None]]:
    """What the towers take, and of a video's frames when they are shown."""
    if isinstance(medium, Audio):
        assert core.audio is not None
        return [(features, None) for features in _features(medium, core.audio.projector)]
    vision = core.vision
    assert vision is not None

    def patches(picture: Any, budget: int) -> Patches:
        return image_patches(picture, patch_size=vision.patch_size, pooling=vision.pooling, budget=budget)

    if isinstance(medium, Image):
        return [(patches(medium.load(), medium.budget), None)]
    return [(patches(frame, FRAME_TOKENS), seconds) for seconds, frame in video_frames(medium)]
