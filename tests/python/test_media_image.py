"""Images: sizes, colours, orientation, sources, and what is refused. No torch (test_media_parity.py has it)."""

from __future__ import annotations

import base64
import io
import os
import struct
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from media_samples import photograph
from PIL import Image as PilImages

from g4cpp.errors import ArgumentError, ArgumentTypeError, FileError, G4Error, MediaError, MissingFileError
from g4cpp.media import BUDGETS, Image, image_patches, image_size, image_tokens, load_image

GOLDENS = Path(__file__).parents[1] / "data" / "goldens" / "media.npz"


def encoded(picture: PilImages.Image, container: str = "PNG", **options: Any) -> bytes:
    file = io.BytesIO()
    picture.save(file, container, **options)
    return file.getvalue()


def png_claiming(width: int, height: int) -> bytes:
    """A sound PNG header of that size; almost no pixels behind it."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    pixels = chunk(b"IDAT", zlib.compress(bytes(64)))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + pixels + chunk(b"IEND", b"")


QUARTERS = np.zeros((96, 96, 3), np.uint8)
QUARTERS[:48, :48], QUARTERS[:48, 48:], QUARTERS[48:, :48] = (255, 0, 0), (0, 255, 0), (0, 0, 255)


def test_pixels_match_the_goldens() -> None:
    """Written by make_media_goldens.py from the reference's processors: every 887th value of each picture's patches."""
    with np.load(GOLDENS) as goldens:
        names = [name for name in goldens.files if name.startswith("pixels_")]
        assert len(names) >= 10
        for name in names:
            width, height, budget = map(int, name.split("_")[1:])
            y, x = np.mgrid[:height, :width]
            source = np.stack([x * 7 + y * 3, x * y // 5, (x ^ y) * 5], -1).astype(np.uint8)
            values = image_patches(Image(source, tokens=budget)).values.reshape(-1)
            np.testing.assert_array_equal(np.round(values[::887] * 255).astype(np.uint8), goldens[name], err_msg=name)


@pytest.mark.parametrize(
    ("width", "height", "budget", "expected"),
    [  # by hand: sqrt(budget / (width * height)) squares a pixel, each side rounded down
        (224, 224, 280, (768, 768)), (224, 224, 70, (384, 384)), (4000, 3000, 280, (912, 672)),
        (1, 1, 1120, (1584, 1584)),
        (40, 1, 280, (5040, 96)), (1, 40, 70, (48, 2496)), (100, 141, 140, (432, 672)),
    ],
)  # fmt: skip
def test_sizes(width: int, height: int, budget: int, expected: tuple[int, int]) -> None:
    assert image_size(width, height, budget) == expected
    assert image_tokens(width, height, budget) == expected[0] * expected[1] // 48**2 <= budget


def test_budgets_by_number_and_by_word() -> None:
    for budget in BUDGETS:
        assert image_patches(Image(QUARTERS, tokens=budget)).n_tokens == image_tokens(96, 96, budget)
    for detail, budget in (("low", 70), ("auto", 280), ("high", 1120), (None, 280)):
        assert image_patches(Image(QUARTERS, detail=detail)).n_tokens == image_tokens(96, 96, budget)  # type: ignore[arg-type]
    wrong: list[dict[str, Any]] = [
        {"tokens": 256}, {"tokens": 0}, {"tokens": True}, {"tokens": "280"}, {"detail": "max"}, {"detail": 3},
        {"tokens": 280, "detail": "low"},
    ]  # fmt: skip
    for options in wrong:
        with pytest.raises(ArgumentError, match=r"^\[image\] .*found$"):
            image_patches(Image(QUARTERS, **options))
    with pytest.raises(ArgumentError, match="patch_size"):
        image_patches(QUARTERS, patch_size=14)


def test_patches_lie_row_by_row_with_the_colours_last() -> None:
    patches = image_patches(Image(QUARTERS, tokens=70))
    assert (patches.cols, patches.rows, patches.values.shape) == (24, 24, (576, 768))
    assert patches.values.flags.c_contiguous
    for row, col, colour in ((0, 0, (1, 0, 0)), (0, 23, (0, 1, 0)), (23, 0, (0, 0, 1)), (23, 23, (0, 0, 0))):
        np.testing.assert_array_equal(patches.values[row * 24 + col].reshape(256, 3), np.tile(colour, (256, 1)))


def test_every_kind_of_source_is_the_same_image(tmp_path: Path) -> None:
    path = tmp_path / "a b.png"
    data = encoded(PilImages.fromarray(QUARTERS))
    path.write_bytes(data)
    text = base64.b64encode(data).decode()
    sources = [
        path, str(path), data, bytearray(data), memoryview(data), QUARTERS, PilImages.open(path),
        QUARTERS.transpose(2, 0, 1),
        f"data:image/png;base64,{text}", f"DATA:;charset=x;BASE64,{text[:40]}\n{text[40:]}".rstrip("="),
        QUARTERS / np.float32(255), QUARTERS.astype(np.uint16) * 257, QUARTERS.astype(np.int64),
    ]  # fmt: skip
    for source in sources:
        np.testing.assert_array_equal(np.asarray(load_image(Image(source))), QUARTERS)
        np.testing.assert_array_equal(np.asarray(load_image(source)), QUARTERS)
    grey = load_image(np.array([[False, True]]))
    np.testing.assert_array_equal(np.asarray(grey), [[[0, 0, 0], [255, 255, 255]]])


@pytest.mark.parametrize("container", ["PNG", "JPEG", "WEBP", "GIF", "BMP", "TIFF", "PPM", "ICO", "TGA"])
def test_formats(container: str) -> None:
    flat = PilImages.new("RGB", (64, 48), (200, 40, 40))
    picture = load_image(encoded(flat, container, **({"sizes": [(64, 48)]} if container == "ICO" else {})))
    assert picture.mode == "RGB"
    assert np.abs(np.asarray(picture).astype(int) - (200, 40, 40)).max() < 12


@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientation_is_applied_whatever_the_source(orientation: int) -> None:
    """The camera's note says how to turn the stored picture; turned, it is QUARTERS again."""
    undo = {
        2: "FLIP_LEFT_RIGHT", 3: "ROTATE_180", 4: "FLIP_TOP_BOTTOM", 5: "TRANSPOSE", 6: "ROTATE_90", 7: "TRANSVERSE",
        8: "ROTATE_270",
    }  # fmt: skip
    stored = PilImages.fromarray(QUARTERS)
    if orientation in undo:
        stored = stored.transpose(PilImages.Transpose[undo[orientation]])
    exif = PilImages.Exif()
    exif[0x0112] = orientation
    data = encoded(stored, "PNG", exif=exif)
    for source in (data, PilImages.open(io.BytesIO(data))):
        np.testing.assert_array_equal(np.asarray(load_image(source)), QUARTERS)


@pytest.mark.filterwarnings("ignore:Corrupt EXIF")
def test_a_damaged_exif_note_is_no_reason_to_refuse() -> None:
    for note in (b"Exif\0\0", b"Exif\0\0MM\0*\0\0\0\x08\0\xff", b"Exif\0\0II*\0\xff\xff\xff\xff", b"nonsense"):
        data = encoded(PilImages.fromarray(QUARTERS), "PNG", exif=note)
        np.testing.assert_array_equal(np.asarray(load_image(data)), QUARTERS)


def test_transparency_is_laid_on_white() -> None:
    values = np.zeros((2, 2, 4), np.uint8)
    values[..., 3] = [[0, 255], [128, 51]]
    expected = np.array([[255, 0], [127, 204]])
    for source in (values, PilImages.fromarray(values), encoded(PilImages.fromarray(values))):
        np.testing.assert_array_equal(np.asarray(load_image(source))[..., 1], expected)
    with PilImages.open(photograph("logo.png")) as logo:
        assert logo.mode == "RGBA"
    assert (np.asarray(load_image(photograph("logo.png")))[0, 0] == 255).all()


def test_sixteen_bits_are_scaled_not_clipped() -> None:
    ramp = np.linspace(0, 65535, 256).astype(np.uint16).reshape(16, 16)
    grey = PilImages.fromarray(ramp)
    for source in (ramp, grey, encoded(grey), encoded(grey, "TIFF")):
        np.testing.assert_array_equal(np.asarray(load_image(source))[..., 0].reshape(-1), np.arange(256))


def test_an_animation_is_its_first_picture() -> None:
    pictures = [PilImages.new("RGB", (48, 48), colour) for colour in ("red", "blue")]
    picture = load_image(encoded(pictures[0], "GIF", save_all=True, append_images=pictures[1:]))
    assert picture.getpixel((5, 5)) == (255, 0, 0)


def test_the_source_stays_as_it_was() -> None:
    picture = PilImages.fromarray(QUARTERS[..., 0])
    array = QUARTERS.copy()
    image_patches(picture)
    image_patches(array)
    assert picture.mode == "L"
    np.testing.assert_array_equal(array, QUARTERS)


def test_what_is_no_image(tmp_path: Path) -> None:
    sound = encoded(PilImages.fromarray(QUARTERS), "JPEG")
    empty = tmp_path / "empty.png"
    empty.touch()
    os.mkfifo(tmp_path / "pipe.png")
    cases: list[tuple[object, type[G4Error], str]] = [
        (b"", MediaError, "no bytes"), (empty, MediaError, "no bytes"), (b"plain text", MediaError, "known format"),
        (sound[: len(sound) // 2], MediaError, "corrupt"), (sound[:20], MediaError, "corrupt|known format"),
        (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", MediaError, "known format"),
        (png_claiming(0, 7), MediaError, "corrupt|1x1|known format"), (png_claiming(9000, 9999), MediaError, "pixels"),
        (png_claiming(100_000, 100_000), MediaError, "pixels"), (png_claiming(100, 100), MediaError, "corrupt"),
        (png_claiming(4100, 100), MediaError, "40:1"), (np.zeros((1, 41), np.uint8), MediaError, "40:1"),
        (np.zeros((0, 5, 3), np.uint8), MediaError, "1x1"), (np.zeros((5, 5, 2), np.uint8), MediaError, "array"),
        (np.zeros(5, np.uint8), MediaError, "array"), (np.full((5, 5), np.nan), MediaError, "0 to 1"),
        (np.full((5, 5), 1.5), MediaError, "0 to 1"), (np.full((5, 5), 256), MediaError, "0 to 255"),
        (np.full((5, 5), "x"), MediaError, "numbers"), (np.zeros((5, 5), complex), MediaError, "numbers"),
        (PilImages.new("RGB", (0, 5)), MediaError, "1x1"), (PilImages.new("RGB", (41, 1)), MediaError, "40:1"),
        (tmp_path / "absent.png", MissingFileError, "no such file"), (tmp_path, FileError, "folder"),
        (tmp_path / "pipe.png", FileError, "regular"), ("a" * 5000, FileError, "too long"),
        ("https://example.org/a.png", MediaError, "not fetched"), ("", ArgumentTypeError, "file name"),
        ("a\0b", ArgumentTypeError, "file name"), (5, ArgumentTypeError, "int found"),
        (None, ArgumentTypeError, "NoneType"),
        ([1], ArgumentTypeError, "list found"), ("data:image/png;base64,", MediaError, "no bytes"),
        ("data:image/png;base64", MediaError, "data URL"), ("data:image/png;base64,A", MediaError, "data URL"),
        ("data:image/png;base64,&&&&", MediaError, "data URL"), ("data:,plain%20text", MediaError, "known format"),
    ]  # fmt: skip
    for source, kind, message in cases:
        with pytest.raises(G4Error, match=message) as caught:
            image_patches(Image(source))  # type: ignore[arg-type]
        assert isinstance(caught.value, kind), (source, caught.value)
        assert str(caught.value).startswith("[image] ")
        assert "\n" not in str(caught.value)
        assert len(str(caught.value)) < 400


def test_pillows_own_limit_of_pixels_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(PilImages, "MAX_IMAGE_PIXELS", 96 * 96 - 1)
    for source in (encoded(PilImages.fromarray(QUARTERS)), PilImages.fromarray(QUARTERS)):
        with pytest.raises(MediaError, match="pixels"):
            load_image(source)
    monkeypatch.setattr(PilImages, "MAX_IMAGE_PIXELS", 96 * 96)
    load_image(encoded(PilImages.fromarray(QUARTERS)))
