"""Layers on several devices, as Python and the command line say it; tests/model/test_offload.cpp has every split."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tiny_gguf import KINDS

from g4cpp import Model, _core
from g4cpp.cli import main
from g4cpp.errors import ArgumentError, ArgumentTypeError, DeviceError
from g4cpp.placing import parse_device_map, parse_gpu_layers, place_text
from g4cpp.types import PlacePlan

Tiny = Callable[..., Path]
NO_GPU = all(device.name == "cpu" or not device.available for device in _core.devices())


def answer(path: Path, **options: Any) -> list[int]:
    with Model(path, n_threads=1, n_ctx=256, **options) as model:
        return model.generate("hello world", max_tokens=40, seed=5, ignore_eos=True).tokens


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("device_map", ["cpu=2,cpu=rest", [("cpu", 1), ("cpu", 2), ("cpu", "rest")]])
def test_a_device_map_changes_no_token(tiny: Tiny, kind: str, device_map: Any) -> None:
    path = tiny(kind)
    assert answer(path, device_map=device_map) == answer(path, device="cpu")


def test_info_says_what_lies_where(tiny: Tiny) -> None:
    path = tiny("dense_e")
    with Model(path, device_map="cpu=2, cpu=4", n_ctx=64) as model:
        plan, device = model.info.memory_plan, model.info.device
    assert device == "cpu"
    found = [(place.device, place.first_layer, place.n_layers) for place in plan.places]
    assert found == [("cpu", 0, 2), ("cpu", 2, 4)]
    assert sum(place.weights for place in plan.places) + plan.host_weights == plan.weights
    assert sum(place.kv_cache for place in plan.places) == plan.kv_cache
    with Model(path, device="cpu", n_ctx=64) as model:
        whole = model.info.memory_plan
    assert len(whole.places) == 1
    assert whole.places[0].weights == whole.weights < plan.weights  # the head has its own copy of the embeddings
    assert whole.kv_cache < plan.kv_cache  # layers 3 to 5 read copies of what layer 1 writes
    assert whole.note == ""


def test_cli(tiny: Tiny, capsys: pytest.CaptureFixture[str]) -> None:
    path = str(tiny("dense_k"))
    assert main(["info", path, "--device-map", "cpu=2,cpu=rest", "--no-tensors", "--json"]) == 0
    places = json.loads(capsys.readouterr().out)["memory_plan"]["places"]
    assert [place["n_layers"] for place in places] == [2, 4]
    assert main(["info", path, "--device-map", "cpu=2,cpu=rest", "--no-tensors", "--kv-dtype", "q8_0"]) == 0
    shown = capsys.readouterr().out
    assert "the embeddings and layers 0 to 1" in shown
    assert "layers 2 to 5 and the head" in shown
    texts = []
    for extra in (["--device-map", "cpu=2,cpu=4"], ["--device", "cpu", "-ngl", "0"]):
        assert main(["generate", "-m", path, "-n", "8", "--temperature", "0", *extra, "hello"]) == 0
        texts.append(capsys.readouterr().out)
    assert texts[0] == texts[1]


def test_forms() -> None:
    expected = [("cpu", 10), ("cuda", -1)]
    assert parse_device_map("cpu=10, cuda=rest") == expected
    assert parse_device_map({"cpu": 10, "cuda": "rest"}) == expected
    assert parse_device_map([("cpu", 10), ("cuda", "*")]) == expected
    assert parse_device_map(None) == []
    assert [parse_gpu_layers(value) for value in ("all", "auto", -1, 0, 7, "7")] == [-1, None, -1, 0, 7, 7]


@pytest.mark.parametrize(
    ("option", "value", "error"),
    [
        ("n_gpu_layers", -2, ArgumentError),
        ("n_gpu_layers", "many", ArgumentError),
        ("n_gpu_layers", 1.5, ArgumentTypeError),
        ("n_gpu_layers", True, ArgumentTypeError),
        ("device_map", "cpu", ArgumentTypeError),
        ("device_map", "=3", ArgumentTypeError),
        ("device_map", "", ArgumentTypeError),
        ("device_map", {}, ArgumentError),
        ("device_map", {"cpu": -3}, ArgumentError),
        ("device_map", {"cpu": 1.5}, ArgumentTypeError),
        ("device_map", [3], ArgumentTypeError),
        ("device_map", 3, ArgumentTypeError),
        ("device_map", {"cpu": 5}, ArgumentError),
        ("device_map", {"abacus": "rest"}, DeviceError),
    ],
)
def test_nonsense(tiny: Tiny, option: str, value: Any, error: type[Exception]) -> None:
    with pytest.raises(error, match=r"device|n_gpu_layers"):
        Model(tiny("dense_e"), **{option: value})


@pytest.mark.skipif(not NO_GPU, reason="there is a GPU")
@pytest.mark.parametrize("layers", [3, "all", 100])
def test_layers_for_a_gpu_that_is_not_there(tiny: Tiny, layers: Any) -> None:
    with pytest.raises(DeviceError, match="n_gpu_layers: a GPU expected"):
        Model(tiny("dense_e"), n_gpu_layers=layers)


def test_place_text() -> None:
    def places(*layers: int) -> list[PlacePlan]:
        return [PlacePlan("cpu", sum(layers[:i]), n, 0, 0, 0, 0) for i, n in enumerate(layers)]

    assert [place_text(places(1, 0), i) for i in range(2)] == ["the embeddings and layer 0", "the head"]
    assert place_text(places(4), 0) == "the embeddings, layers 0 to 3 and the head"
    assert place_text(places(1, 2, 1), 1) == "layers 1 to 2"
