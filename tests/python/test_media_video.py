"""Video: which frames, when, containers, sources, and what is refused."""

from __future__ import annotations

import base64
import io
import struct
from pathlib import Path

import av
import numpy as np
import pytest
from media_samples import encoded_sound, encoded_video, photograph
from numpy.typing import NDArray
from PIL import Image as PilImages

from g4cpp.errors import ArgumentError, FileError, G4Error, MediaError, MissingFileError
from g4cpp.media import Video, image_patches, image_tokens, load_image, time_stamp, video_frames


def greys(count: int, width: int = 64, height: int = 48) -> list[NDArray[np.uint8]]:
    """Frame i is all of one grey that tells i."""
    return [np.full((height, width, 3), 20 + 2 * index, np.uint8) for index in range(count)]


def indices_of(frames: list[tuple[float, PilImages.Image]]) -> list[int]:
    return [round((float(np.asarray(picture).mean()) - 20) / 2) for _, picture in frames]


@pytest.mark.parametrize(
    ("container", "codec"),
    [("mp4", "mpeg4"), ("matroska", "mpeg4"), ("webm", "libvpx"), ("avi", "mpeg4"), ("mpegts", "mpeg4")],
)
def test_the_frames_taken_and_their_times(container: str, codec: str) -> None:
    """With and without a frame count in the header (matroska, webm and mpegts have none)."""
    frames = video_frames(encoded_video(greys(100), 10, container, codec))
    expected = [index * 100 // 32 for index in range(32)]
    assert [seconds for seconds, _ in frames] == pytest.approx([index / 10 for index in expected])
    assert np.abs(np.array(indices_of(frames)) - expected).max() <= 1  # the codec loses a little
    assert all(picture.size == (64, 48) and picture.mode == "RGB" for _, picture in frames)


@pytest.mark.parametrize("count", [1, 5, 31, 32, 33])
def test_short_videos(count: int) -> None:
    frames = video_frames(encoded_video(greys(count), 10))
    taken = min(count, 32)
    expected = [index * count // taken for index in range(taken)]
    assert [round(seconds * 10) for seconds, _ in frames] == expected
    assert len(video_frames(Video(greys(count), frames=3))) == min(3, count)


def test_frames_and_rate_by_hand() -> None:
    stack = np.stack(greys(40))
    for source in (stack, list(stack), [PilImages.fromarray(frame) for frame in stack], tuple(stack)):
        frames = video_frames(Video(source, frames=8, fps=5))
        assert indices_of(frames) == [0, 5, 10, 15, 20, 25, 30, 35]
        assert [seconds for seconds, _ in frames] == [0, 1, 2, 3, 4, 5, 6, 7]
    assert video_frames(stack)[1][0] == 1 / 24


def test_time_stamps() -> None:
    stamps = [time_stamp(seconds) for seconds in (0, 0.99, 59.999, 60, 3599, 3600, 6000.5)]
    assert stamps == ["00:00", "00:00", "00:59", "01:00", "59:59", "60:00", "100:00"]


def test_a_photograph_panned(tmp_path: Path) -> None:
    base = np.asarray(load_image(photograph("coffee.png")))
    panned = [base[80:320, 2 * shift : 2 * shift + 320] for shift in range(40)]
    data = encoded_video(panned, 8)
    path = tmp_path / "pan.mp4"
    path.write_bytes(data)
    frames = video_frames(path)
    assert [time_stamp(seconds) for seconds, _ in frames][-1] == "00:04"
    for (_, picture), index in zip(frames, (index * 40 // 32 for index in range(32)), strict=True):
        assert np.abs(np.asarray(picture).astype(int) - panned[index]).mean() < 12
    patches = image_patches(frames[0][1], budget=Video(path).tokens)
    assert patches.n_tokens == image_tokens(320, 240, 70) == 63
    for source in (str(path), data, f"data:video/mp4;base64,{base64.b64encode(data).decode()}"):
        assert len(video_frames(Video(source))) == 32


def test_a_telephone_held_upright() -> None:
    """Such files hold the frames lying, and a matrix (in the box tkhd) that turns them 90 degrees clockwise."""
    lying = np.zeros((48, 96, 3), np.uint8)
    lying[:, :48], lying[:24, 48:] = (255, 0, 0), (0, 255, 0)
    data = bytearray(encoded_video([lying] * 3, 10))
    matrix = data.index(b"tkhd") + 44
    data[matrix : matrix + 36] = struct.pack(">9i", 0, 1 << 16, 0, -(1 << 16), 0, 0, 48 << 16, 0, 1 << 30)
    picture = video_frames(bytes(data))[0][1]
    assert np.abs(np.asarray(picture).astype(int) - np.rot90(lying, -1)).mean() < 12


def test_a_file_cut_short_gives_what_is_there() -> None:
    """mpegts counts nothing in advance, so half a file is a shorter video."""
    noise = np.random.default_rng(0).integers(0, 255, (60, 96, 128, 3), np.uint8)
    data = encoded_video(list(noise), 10, "mpegts")
    frames = video_frames(data[: len(data) // 2])
    assert 20 <= len(frames) <= 32
    assert frames[-1][0] < 3.5


def test_what_is_no_video(tmp_path: Path) -> None:
    sound = encoded_sound(np.zeros(1000, np.float32), 16_000)
    playlist = tmp_path / "list.m3u8"
    (tmp_path / "real.ts").write_bytes(encoded_video(greys(10), 10, "mpegts"))
    playlist.write_text(f"#EXTM3U\n#EXT-X-TARGETDURATION:5\n#EXTINF:1.0,\n{tmp_path}/real.ts\n#EXT-X-ENDLIST\n")
    no_frames = io.BytesIO()
    with av.open(no_frames, "w", format="mp4") as out:
        stream = out.add_stream("mpeg4", rate=10)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        out.start_encoding()
    cases: list[tuple[object, type[G4Error], str]] = [
        (b"", MediaError, "no bytes"), (b"plain text" * 99, MediaError, "not a file"),
        (sound, MediaError, "none found"), (no_frames.getvalue(), MediaError, r"^\[video\]"),
        (encoded_video(greys(9), 10)[:400], MediaError, r"^\[video\]"),
        (playlist, MediaError, "not a file"), (f"concat:{tmp_path}/real.ts", MissingFileError, "no such file"),
        ([], MediaError, "0 frames"), (np.zeros((0, 9, 9, 3), np.uint8), MediaError, "0 frames"),
        (np.zeros((9, 9, 3), np.uint8), MediaError, "array"), (np.zeros((2, 9, 9, 2), np.uint8), MediaError, "array"),
        (Video(greys(2), frames=0), ArgumentError, "frames"), (Video(greys(2), frames=2.5), ArgumentError, "frames"),  # type: ignore[arg-type]
        (Video(greys(2), fps=0), ArgumentError, "fps"), (Video(greys(2), fps=float("nan")), ArgumentError, "fps"),
        (Video(b"x", fps=5), ArgumentError, "fps"), (tmp_path / "absent.mp4", MissingFileError, "no such file"),
        (tmp_path, FileError, "folder"), (5, ArgumentError, "int found"),
        ("rtsp://example.org/a", MediaError, "not fetched"),
        (encoded_video(greys(2, 1000, 16), 10), MediaError, "40:1"),
    ]  # fmt: skip
    for source, kind, message in cases:
        with pytest.raises(G4Error, match=message) as caught:
            video_frames(source)
        assert isinstance(caught.value, kind), (source, caught.value)
        assert "\n" not in str(caught.value)


def test_frames_of_too_many_pixels_are_refused_before_decoding(monkeypatch: pytest.MonkeyPatch) -> None:
    data = encoded_video(greys(3), 10)
    monkeypatch.setattr(PilImages, "MAX_IMAGE_PIXELS", 64 * 48 - 1)
    with pytest.raises(MediaError, match="pixels a frame"):
        video_frames(data)
