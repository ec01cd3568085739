"""What the calls return: plain dataclasses, immutable, without behaviour beyond their derived figures."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass, fields
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from g4cpp import _core

FinishReason = Literal["stop", "length", "interrupted"]
"""stop: the model ended or a stop string came. length: max_tokens or the context is full. interrupted: a
stream that was closed, or asked for its result, before its end."""


@dataclass(frozen=True, slots=True)
class Usage:
    """Token counts. Of the prompt, `cached_tokens` were taken from the cache of an earlier call and `media_tokens` are
    soft tokens of images, audio and video."""

    prompt_tokens: int
    cached_tokens: int
    completion_tokens: int
    media_tokens: int = 0

    @property
    def total_tokens(self) -> int:
        return self.prompt_tokens + self.completion_tokens


@dataclass(frozen=True, slots=True)
class Timings:
    """Wall-clock seconds of the engine's own work.

    Prefill covers the prompt tokens that were not cached and the first sampled token; decode covers the rest. Reading
    and encoding media comes before both.
    """

    prefill_tokens: int
    prefill_seconds: float
    decode_tokens: int
    decode_seconds: float
    media_seconds: float = 0.0

    @property
    def prefill_tokens_per_second(self) -> float:
        return self.prefill_tokens / self.prefill_seconds if self.prefill_seconds > 0 else 0.0

    @property
    def decode_tokens_per_second(self) -> float:
        return self.decode_tokens / self.decode_seconds if self.decode_seconds > 0 else 0.0

    def to_dict(self) -> dict[str, float]:
        return {
            **asdict(self),
            "prefill_tokens_per_second": self.prefill_tokens_per_second,
            "decode_tokens_per_second": self.decode_tokens_per_second,
        }


@dataclass(frozen=True, slots=True)
class Completion:
    """A continuation. `tokens` are the generated ids without the one that ended it; str() is the text."""

    text: str
    tokens: list[int]
    finish_reason: FinishReason
    usage: Usage
    timings: Timings

    def __str__(self) -> str:
        return self.text


class Message(dict[str, Any]):
    """One turn of a chat: the dictionary templates and JSON expect, with its fields as attributes."""

    def __init__(self, role: str, content: object, **more: Any) -> None:
        super().__init__(role=role, content=content, **more)

    @property
    def role(self) -> str:
        return str(self["role"])

    @property
    def content(self) -> str:
        return str(self["content"])

    @property
    def tool_calls(self) -> list[dict[str, Any]]:
        """Parsed calls of tools; always empty until tool calls are parsed."""
        return list(self.get("tool_calls", []))


@dataclass(frozen=True, slots=True)
class ChatPiece:
    """A piece of a streamed answer; str() is its text."""

    text: str
    kind: Literal["thinking", "answer"]

    def __str__(self) -> str:
        return self.text


@dataclass(frozen=True, slots=True)
class ChatCompletion:
    """An answer. `message` can be appended to the list of messages as it is; `thinking` is None without
    thoughts."""

    message: Message
    thinking: str | None
    tokens: list[int]
    finish_reason: FinishReason
    usage: Usage
    timings: Timings

    def __str__(self) -> str:
        return self.message.content


@dataclass(frozen=True, slots=True)
class PlacePlan:
    """What lies on one device: consecutive layers, in the first place the embeddings too, in the last the
    head. In bytes."""

    device: str
    first_layer: int
    n_layers: int
    weights: int
    kv_cache: int
    activations: int
    reserve: int
    """For the device's own use."""

    @classmethod
    def of(cls, place: object) -> PlacePlan:
        """From the core's of the same fields."""
        return cls(**{field.name: getattr(place, field.name) for field in fields(cls)})


@dataclass(frozen=True, slots=True)
class MemoryPlan:
    """Bytes by purpose, as computed before anything is allocated, and which device has what."""

    weights: int
    kv_cache: int
    kv_snapshot: int
    activations: int
    soft_tokens: int
    """Of media, on their way into a step."""
    projector: int
    """Weights and activations of the media towers on the model's own GPU."""
    total: int
    host_weights: int
    """Of the weights: tables in host memory that another device reads there."""
    available: int
    n_ctx: int
    places: list[PlacePlan]
    note: str
    """What did not fit and was placed elsewhere for that; empty: nothing."""

    @classmethod
    def of(cls, plan: _core.MemoryPlan) -> MemoryPlan:
        """From the core's plan of the same fields."""
        plain = {field.name: getattr(plan, field.name) for field in fields(cls)}
        return cls(**plain | {"places": [PlacePlan.of(place) for place in plan.places]})


@dataclass(frozen=True, slots=True)
class ProjectorInfo:
    """The file with which a model sees and hears."""

    path: str
    vision: str | None
    """The kind of its vision part: "gemma4v" or "gemma4uv"; None: it does not see."""
    audio: str | None
    """As vision: "gemma4a" or "gemma4ua"; None: it does not hear."""
    hidden_size: int
    """Of its soft tokens: the model's."""
    file_bytes: int

    def __str__(self) -> str:
        return f"{self.path}: " + ", ".join(
            f"{sense} ({kind})" for sense, kind in (("sees", self.vision), ("hears", self.audio)) if kind
        )


@dataclass(frozen=True, slots=True)
class ModelInfo:
    """What was loaded and how it runs. Also reads like a dictionary: info["device"], dict(info)."""

    path: str
    architecture: str
    name: str | None
    n_parameters: int
    n_layers: int
    hidden_size: int
    n_vocab: int
    n_ctx: int
    n_ctx_train: int
    file_bytes: int
    formats: dict[str, int]
    """Tensors by weight format."""
    device: str
    compute: str
    kv_dtype: str
    n_threads: int
    micro_batch: int
    fallbacks: list[str]
    """Operations that the device does not run itself."""
    has_tokenizer: bool
    has_chat_template: bool
    memory_plan: MemoryPlan
    projector: ProjectorInfo | None = None
    """For images, audio and video; loaded when the first is given, beyond the memory plan."""

    def keys(self) -> Iterator[str]:
        return (field.name for field in fields(self))

    def __getitem__(self, key: str) -> Any:
        if key not in set(self.keys()):
            raise KeyError(key)
        return getattr(self, key)

    def to_dict(self) -> dict[str, Any]:
        """All fields, nested ones too, ready for JSON."""
        return asdict(self)
