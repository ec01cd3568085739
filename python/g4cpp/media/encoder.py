"""From media to soft tokens: prepared here, encoded by the core with a projector file, remembered by their content.

The projector's weights are loaded when the first medium comes. Encoding takes turns between threads.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from g4cpp.errors import ArgumentError
from g4cpp.media.audio import audio_clips, load_audio
from g4cpp.media.cache import ClipCache, content_key, source_digest, value_digest
from g4cpp.media.content import Kind, Medium, as_medium, kind_of
from g4cpp.media.image import Patches, image_patches
from g4cpp.media.mel import audio_features
from g4cpp.media.projector import Found
from g4cpp.media.sources import Audio, Video
from g4cpp.media.video import time_stamp, video_frames
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

    def __init__(
        self, found: Found, *, device: str, compute: str, n_threads: int, cache_bytes: int = CACHE_BYTES
    ) -> None:
        self._found = found
        self._device, self._compute, self._n_threads = device, compute, n_threads
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
                digest = value_digest(*(each for value, _ in prepared for each in _values(value)))
            known = self.cache.get(digest)
            if known is not None:
                return known
            clips: list[Clip] = []
            for place, (value, stamp) in enumerate(prepared or _prepare(core, medium)):
                if poll is not None:
                    poll()
                if isinstance(value, Patches):
                    rows = core.encode_image(value.values, value.cols, value.rows, poll)
                else:
                    rows = core.encode_audio(value, poll)
                rows.setflags(write=False)  # shared by every prompt with this medium
                clips.append(Clip(kind, rows, content_key(digest, place), stamp))
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
            self._core = _core.MediaEncoder(
                self._found.file, device=self._device, compute=self._compute, n_threads=self._n_threads
            )
        return self._core


def _prepare(core: _core.MediaEncoder, medium: Medium) -> list[tuple[Prepared, str]]:
    """What the towers take, and of a video's frames when they are shown."""
    if isinstance(medium, Audio):
        assert core.audio is not None
        return [(audio_features(clip, core.audio.projector), "") for clip in audio_clips(load_audio(medium))]
    vision = core.vision
    assert vision is not None
    sizes = {"patch_size": vision.patch_size, "pooling": vision.pooling}
    if isinstance(medium, Video):
        frames = video_frames(medium)
        return [(image_patches(frame, **sizes, budget=medium.tokens), time_stamp(seconds)) for seconds, frame in frames]
    return [(image_patches(medium, **sizes), "")]


def _values(prepared: Prepared) -> tuple[object, ...]:
    return (prepared.values, prepared.cols, prepared.rows) if isinstance(prepared, Patches) else (prepared,)
