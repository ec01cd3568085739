"""Other engines that bench runs beside this one (`g4cpp bench --vs NAME`), each from its own optional package.

A peer takes the same contexts and prompts as our runs and tells the seconds of one run at a time.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from g4cpp.errors import ArgumentError


class Timed(Protocol):
    """Seconds of single runs. What the cache still holds of `context` is not computed again, nor does it count."""

    def prefill(self, context: Sequence[int], prompt: Sequence[int]) -> float:
        """From `context` (may be empty) to the first token chosen after `prompt`."""

    def decode(self, context: Sequence[int], tokens: int) -> float:
        """Of `tokens` steps of one token each after `context`, one token at least."""


class Peer(Timed, Protocol):
    """A model file loaded by another engine."""

    def close(self) -> None:
        """Frees everything."""


class OpenPeer(Protocol):
    """Loads a file. Raises ModelError where the peer refuses it, DeviceError where it lacks the device."""

    def __call__(self, path: str, *, device: str, n_ctx: int, n_threads: int, longest_prompt: int) -> Peer: ...


@dataclass(frozen=True)
class PeerKind:
    name: str
    version: str
    settings: str
    open: OpenPeer


def _llama_cpp() -> PeerKind:
    from g4cpp.peers.llama_cpp import SETTINGS, LlamaRuns, version

    return PeerKind("llama.cpp", version(), SETTINGS, LlamaRuns)


@dataclass(frozen=True)
class Source:
    """Where a peer comes from; load() imports it."""

    package: str
    install: str
    load: Callable[[], PeerKind]


SOURCES = {"llama.cpp": Source("llama-cpp-python", "pip install 'g4cpp[interop]'", _llama_cpp)}


def find_peer(name: str) -> PeerKind:
    """Raises ArgumentError: no such peer, or its package is absent or broken."""
    source = SOURCES.get(name)
    if source is None:
        raise ArgumentError(f"[bench] --vs: one of {', '.join(SOURCES)} expected, {name!r} found")
    try:
        return source.load()
    except (ImportError, OSError, RuntimeError) as error:  # what loading a shared library may raise
        raise ArgumentError(
            f"[bench] --vs {name} needs {source.package}: {source.install} ({error})"
        ) from error
