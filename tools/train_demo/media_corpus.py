"""The raw material of the demo model's eyes and ears: digits drawn in many typefaces and spoken in many voices.

    python media_corpus.py FONT_FOLDER OUT_FOLDER

writes glyphs.npz (masks of the ten digits in every TrueType and OpenType font below FONT_FOLDER) and speech.npz (eSpeak
NG's English voices, 8 bits mu-law at 16 kHz), 20 MB together, so that training itself needs neither fonts nor eSpeak.
Every HOLD_OUT-th font and voice is for evaluation alone. Needs pillow, soxr and
espeakng-loader; what training imports from here needs none of them but Pillow.
"""

from __future__ import annotations

import ctypes
import random
import sys
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageDraw, ImageFont

SIDE = 72  # pixels of a mask
HOLD_OUT = 8
RATE = 16_000
ACCENTS = ("en", "en-us", "en-gb-scotland", "en-gb-x-rp", "en-gb-x-gbclan", "en-029")
SPEAKINGS_OF_A_VOICE = 4
WORDS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
ODD_FONTS = ("Hairline", "Thin", "Biolinum_K", "Garamond")  # too thin, pictures of keys, digits of unequal height
ODD_VOICES = ("Demonic", "Storm", "Tweaky", "RicishayMax", "robosoft", "UniRobot", "anikaRobot", "Hugo", "whisper")


def glyphs(folder: Path) -> tuple[np.ndarray, np.ndarray]:
    """Masks [fonts, 10, SIDE, SIDE] uint8 and whether each font is held out."""
    files = sorted(path for path in folder.rglob("*") if path.suffix.lower() in (".ttf", ".otf"))
    files = [path for path in files if not any(word in path.name for word in ODD_FONTS)]
    masks = np.stack([[glyph(path, str(digit)) for digit in range(10)] for path in files])
    return masks, np.arange(len(files)) % HOLD_OUT == 0


def glyph(path: Path, text: str) -> np.ndarray:
    """`text` as large as it gets within the mask, its margins cut."""
    font = ImageFont.truetype(str(path), SIDE)
    left, top, right, bottom = font.getbbox(text)
    font = ImageFont.truetype(str(path), int(SIDE * (SIDE - 4) / max(right - left, bottom - top)))
    image = Image.new("L", (SIDE, SIDE))
    ImageDraw.Draw(image).text((SIDE / 2, SIDE / 2), text, fill=255, font=font, anchor="mm")
    return np.asarray(image)


class Speaker:
    """eSpeak NG through its C interface (speak_lib.h)."""

    def __init__(self) -> None:
        import espeakng_loader

        self._library = ctypes.CDLL(espeakng_loader.get_library_path())
        self._heard: list[np.ndarray] = []
        hears = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.POINTER(ctypes.c_int16), ctypes.c_int, ctypes.c_void_p)

        def hear(samples: Any, count: int, _events: Any) -> int:
            if samples and count > 0:
                self._heard.append(np.ctypeslib.as_array(samples, (count,)).copy())
            return 0

        self._callback = hears(hear)
        synchronous = 2
        self.rate = self._library.espeak_Initialize(synchronous, 0, str(espeakng_loader.get_data_path()).encode(), 0)
        self._library.espeak_SetSynthCallback(self._callback)

    def say(self, text: str, voice: str, speed: int = 175, pitch: int = 50) -> np.ndarray | None:
        """Samples in -1..1 at RATE, without silence at the ends; None when there is no such voice."""
        import soxr

        if self._library.espeak_SetVoiceByName(voice.encode()) != 0:
            return None
        rate_parameter, pitch_parameter, utf8 = 1, 3, 1
        self._library.espeak_SetParameter(rate_parameter, speed, 0)
        self._library.espeak_SetParameter(pitch_parameter, pitch, 0)
        self._heard.clear()
        spoken = ctypes.create_string_buffer(text.encode())
        self._library.espeak_Synth(spoken, ctypes.c_size_t(len(spoken)), 0, 0, 0, utf8, None, None)
        self._library.espeak_Synchronize()
        samples = soxr.resample(np.concatenate(self._heard).astype(np.float32) / 32768, self.rate, RATE)
        loud = np.flatnonzero(np.abs(samples) > 0.01)
        return samples[loud[0] : loud[-1] + 1] if len(loud) else None


def speech() -> dict[str, np.ndarray]:
    """All digits of every voice: mu-law samples end to end, where each clip ends, its digit, whether held out."""
    import espeakng_loader

    rng, speaker = random.Random(0), Speaker()
    folder = Path(espeakng_loader.get_data_path()) / "voices" / "!v"
    variants = sorted(path.name for path in folder.iterdir())
    variants = [name for name in variants if not name.startswith(ODD_VOICES)]
    clips, ends, digits, held = [], [0], [], []
    for place, variant in enumerate(variants):
        for _ in range(SPEAKINGS_OF_A_VOICE):
            voice = f"{rng.choice(ACCENTS)}+{variant}"
            for digit, word in enumerate(WORDS):
                samples = speaker.say(word, voice, rng.randint(110, 230), rng.randint(25, 75))
                if samples is None or not RATE * 0.1 < len(samples) < RATE * 1.2:
                    continue
                clips.append(to_mu_law(samples / np.abs(samples).max()))
                ends.append(ends[-1] + len(samples))
                digits.append(digit)
                held.append(place % HOLD_OUT == 0)
    return {
        "samples": np.concatenate(clips),
        "ends": np.array(ends),
        "digits": np.array(digits, np.uint8),
        "held": np.array(held),
    }


def to_mu_law(samples: np.ndarray) -> np.ndarray:
    return np.round(127 * np.sign(samples) * np.log1p(255 * np.abs(samples)) / np.log(256)).astype(np.int8)


def from_mu_law(values: np.ndarray) -> np.ndarray:
    scaled = values.astype(np.float32) / 127
    return np.sign(scaled) * np.expm1(np.abs(scaled) * np.log(256).astype(np.float32)) / 255


def main() -> None:
    fonts, folder = Path(sys.argv[1]), Path(sys.argv[2])
    folder.mkdir(parents=True, exist_ok=True)
    masks, held = glyphs(fonts)
    np.savez_compressed(folder / "glyphs.npz", masks=masks, held=held)
    spoken = speech()
    np.savez_compressed(folder / "speech.npz", **spoken)
    print(f"{len(masks)} fonts, {len(spoken['digits'])} clips, {len(spoken['samples']) / RATE / 60:.0f} minutes")


if __name__ == "__main__":
    main()
