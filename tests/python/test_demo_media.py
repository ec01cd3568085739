"""The demo model sees and hears: its projector is found by itself, its answers about new pictures and clips are true.

The share of right answers is counted on media that training has not seen: see demo_media.py.
"""

from __future__ import annotations

import hashlib
import io
import json
from pathlib import Path

import pytest
import soundfile
from demo_media import RATE, Case, clips, pictures

from g4cpp import Audio, Image, Model, demo
from g4cpp.cli import main

Capture = pytest.CaptureFixture[str]
TRUE_SHARE = 0.9


@pytest.fixture(scope="module")
def model() -> Model:
    return Model(n_ctx=1024)


def wrong_answers(model: Model, cases: list[Case], media: list[Image] | list[Audio]) -> list[str]:
    wrong = []
    for number, (case, medium) in enumerate(zip(cases, media, strict=True)):
        reply = model.generate([medium, case.question], template=True, temperature=0, max_tokens=24)
        if reply.text != case.answer:
            wrong.append(f"{number}: {case.question} {case.answer} expected, {reply.text} found")
    return wrong


def test_the_projector_is_the_trained_one() -> None:
    content = demo.demo_projector().read_bytes()
    assert len(content) == demo.PROJECTOR_BYTES
    assert hashlib.sha256(content).hexdigest() == demo.PROJECTOR_SHA256


def test_the_projector_is_found(model: Model) -> None:
    found = model.info.projector
    assert found is not None
    assert Path(found.path) == demo.demo_projector()
    assert (found.vision, found.audio, found.hidden_size) == ("gemma4v", "gemma4a", 320)


def test_pictures_are_told_truly(model: Model) -> None:
    """A third with the default budget, 280, which takes ten times the time of 70."""
    cases = pictures(60, seed=1)
    media = [Image(case.medium, tokens=(280, 140, 70)[number % 3]) for number, case in enumerate(cases)]
    wrong = wrong_answers(model, cases, media)
    assert 1 - len(wrong) / len(cases) >= TRUE_SHARE, "\n".join(wrong)


def test_clips_are_told_truly(model: Model) -> None:
    cases = clips(60, seed=1)
    wrong = wrong_answers(model, cases, [Audio(case.medium) for case in cases])
    assert 1 - len(wrong) / len(cases) >= TRUE_SHARE, "\n".join(wrong)


def test_a_later_question_about_the_same_picture(model: Model) -> None:
    (case,) = pictures(2, seed=3)[1:]
    assert case.answer.startswith("The shape is ")
    messages = [{"role": "user", "content": [case.medium, case.question]}]
    first = model.chat(messages, temperature=0, max_tokens=24)
    messages += [{"role": "assistant", "content": str(first)}, {"role": "user", "content": "What colour is it?"}]
    second = model.chat(messages, temperature=0, max_tokens=24)
    assert second.message.content.startswith("The colour is ")
    assert second.usage.cached_tokens > first.usage.media_tokens


def test_the_command_line_sees_and_hears(capsys: Capture, tmp_path: Path) -> None:
    picture, clip = pictures(2, seed=1)[1], clips(3, seed=1)[2]
    picture.medium.save(tmp_path / "shape.png")
    sound = io.BytesIO()
    soundfile.write(sound, clip.medium, RATE, format="WAV")
    (tmp_path / "tone.wav").write_bytes(sound.getvalue())
    for option, name, case in (("--image", "shape.png", picture), ("--audio", "tone.wav", clip)):
        assert main(["generate", "--temperature", "0", option, str(tmp_path / name), case.question]) == 0
        assert capsys.readouterr().out == case.answer + "\n"


def test_info_names_the_projector(capsys: Capture) -> None:
    assert main(["info", "--json"]) == 0
    facts = json.loads(capsys.readouterr().out)
    assert Path(facts["projector"]["path"]).name == demo.PROJECTOR_NAME
