"""The C++ core as Python sees it. No logic lives in the bindings: each class and function is its C++ namesake.

Every call that computes releases the GIL. Errors are the classes of g4cpp.errors.
"""

from collections.abc import Callable, Sequence
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

build_id: str

# --- gguf -------------------------------------------------------------------------------------------------------------

class TensorInfo:
    name: str
    dtype: str  # "Q4_K"
    shape: tuple[int, ...]  # slowest first
    n_bytes: int
    part: int  # index of the split file that holds it

class GgufFile:
    """A GGUF file, memory-mapped and validated. Raises FileError, GgufError."""

    def __init__(self, path: str) -> None: ...
    path: str
    version: int
    file_bytes: int
    n_parts: int
    def keys(self) -> list[str]: ...
    def get(self, key: str, default: Any = None) -> Any:
        """The value as int, float, bool, str or a list of these; `default` when the key is absent."""
    def array_length(self, key: str) -> int | None:
        """Elements of an array value without decoding it; None when the key is absent or not an array."""
    def tensors(self) -> list[TensorInfo]: ...
    def tensor_data(self, name: str) -> NDArray[np.uint8]:
        """The encoded bytes of a tensor, a read-only view of the map. Raises GgufError when absent."""

ValueType = Literal["u8", "i8", "u16", "i16", "u32", "i32", "u64", "i64", "f32", "f64", "bool", "string"]

class GgufWriter:
    """Writes PATH through a temporary file renamed by finish(). Raises FileError, ArgumentError."""

    def __init__(self, path: str) -> None: ...
    def add(self, key: str, value: int | float | bool | str, type: ValueType) -> None: ...
    def add_array(self, key: str, values: Sequence[int] | Sequence[float] | Sequence[bool] | Sequence[str], type: ValueType) -> None: ...
    def declare_tensor(self, name: str, dtype: str, shape: Sequence[int]) -> None: ...
    def write_header(self) -> None: ...
    def write_tensor(self, name: str, data: NDArray[np.uint8]) -> None:
        """The next bytes of tensor `name`; may be called several times until its declared size is reached."""
    def finish(self) -> None: ...
    def discard(self) -> None:
        """Removes the temporary file; a no-op after finish()."""

def quantize(dtype: str, values: NDArray[np.float32]) -> NDArray[np.uint8]:
    """Encodes float32 values (flattened) into F32, F16, BF16, Q8_0 or Q4_0."""

def dequantize(dtype: str, data: NDArray[np.uint8] | bytes) -> NDArray[np.float32]:
    """Decodes the bytes of any supported format, flat."""

def dtypes() -> list[tuple[str, int, int]]:
    """(name, elements per block, bytes per block) of every supported tensor format."""

# --- tokenizer --------------------------------------------------------------------------------------------------------

class Tokenizer:
    """The file's own vocabulary. Raises ModelError when the file has none or it is malformed."""

    def __init__(self, file: GgufFile) -> None: ...
    n_tokens: int
    model: str  # "gemma4" or "llama"
    add_bos: bool
    bos_id: int | None
    eos_id: int | None
    stop_ids: list[int]
    suppress_ids: list[int]
    chat_template: str | None
    def encode(self, text: str, add_bos: bool | None = None, parse_special: bool = True) -> list[int]: ...
    def decode(self, ids: Sequence[int], keep_special: bool = False) -> str: ...
    def find(self, text: str) -> int | None:
        """The id of the token whose text is exactly `text`."""
    def token_text(self, id: int) -> str: ...
    def is_special(self, id: int) -> bool: ...

class Detokenizer:
    """Streaming detokenisation: text comes out as soon as it is complete UTF-8."""

    def __init__(self, tokenizer: Tokenizer, keep_special: bool = False) -> None: ...
    def push(self, id: int) -> str: ...
    def flush(self) -> str: ...

# --- runtime ----------------------------------------------------------------------------------------------------------

class DeviceInfo:
    name: str  # "cpu"
    description: str
    available: bool
    reason: str  # why it is not available
    memory_total: int
    memory_available: int

def devices() -> list[DeviceInfo]: ...

class Sampler:
    """Turns a row of logits into a token. Same seed and same logits, same tokens."""

    def __init__(
        self,
        *,
        temperature: float = 1.0,
        top_k: int = 64,
        top_p: float = 0.95,
        min_p: float = 0.0,
        repetition_penalty: float = 1.0,
        presence_penalty: float = 0.0,
        frequency_penalty: float = 0.0,
        penalty_window: int = 64,
        logit_bias: dict[int, float] = ...,
        suppress: Sequence[int] = (),
        seed: int = 0,
    ) -> None: ...
    def accept(self, token: int) -> None:
        """Records a token of the prompt or the output for the penalties."""
    def sample(self, logits: NDArray[np.float32]) -> int: ...

class PlacePlan:
    """What lies on one device: consecutive layers, in the first place the embeddings too, in the last the head."""

    device: str
    first_layer: int
    n_layers: int
    weights: int
    kv_cache: int
    activations: int
    reserve: int  # for the device's own use

class MemoryPlan:
    """Bytes by purpose, computed before anything is allocated."""

    weights: int
    kv_cache: int
    kv_snapshot: int
    activations: int
    soft_tokens: int  # of media, on their way into a step
    projector: int  # weights and activations of the media towers on the model's own GPU
    total: int
    host_weights: int  # of the weights: tables in host memory that another device reads there
    available: int
    n_ctx: int
    places: list[PlacePlan]
    note: str  # what did not fit and was placed elsewhere for that

Media = Sequence[tuple[int, NDArray[np.float32], int, bool]]
"""Ascending spans of a prompt that take soft tokens of media instead of embeddings: (first position, rows
[n, hidden], key of the content, block).

Equal keys (64 bits) stand for equal rows. A block is one image or one video frame: on models made for it
(gemma4.attention.bidirectional_media) its tokens see each other on sliding layers; blocks without a token between are
one. Ids at these positions are ignored.
"""

Poll = Callable[[], None]
"""Called now and then during long computations; what it raises stops the computation and propagates."""

class Engine:
    """A loaded model, its KV cache and one sequence of tokens in it.

    Raises ModelError, MemoryError (g4cpp.errors.MemoryPlanError), DeviceError, ArgumentError.
    """

    def __init__(
        self,
        file: GgufFile,
        *,
        device: str = "auto",
        compute: str = "auto",
        n_ctx: int = 0,
        n_threads: int = 0,
        micro_batch: int = 0,
        kv_dtype: str = "auto",
        kv_shared_skip: bool = True,
        repack: bool = True,
        n_gpu_layers: int | None = None,
        device_map: Sequence[tuple[str, int]] = (),
        max_media_span: int = 0,
        media_required: bool = True,
        projector_bytes: int = 0,
        progress: Callable[[int, int], None] | None = None,
    ) -> None:
        """n_ctx 0: the trained context or what memory allows; n_threads 0: the physical cores; micro_batch 0: what
        suits the device. n_gpu_layers: so many of the last layers, the head being the very last, on the GPU; -1: all;
        None: as many as fit. device_map: devices with numbers of layers, -1 once for the rest. max_media_span: the most
        soft tokens of one span of media; 0: none are taken. media_required False: text alone on devices that take no
        media. progress: called with the bytes of weights loaded and all there are; what it raises ends the load."""
    @staticmethod
    def plan(
        file: GgufFile,
        *,
        device: str = "auto",
        compute: str = "auto",
        n_ctx: int = 0,
        micro_batch: int = 0,
        kv_dtype: str = "auto",
        n_gpu_layers: int | None = None,
        device_map: Sequence[tuple[str, int]] = (),
        max_media_span: int = 0,
        media_required: bool = True,
        projector_bytes: int = 0,
    ) -> MemoryPlan:
        """The memory plan without loading anything."""
    architecture: str
    device: str  # "cuda", of several "cpu+cuda"
    compute: str
    kv_dtype: str
    n_ctx: int
    n_ctx_train: int
    n_vocab: int
    n_layers: int
    n_threads: int
    micro_batch: int
    max_media_span: int
    takes_media: bool  # the architecture does; max_media_span 0 forbids it still
    hidden_size: int
    n_parameters: int
    memory_plan: MemoryPlan
    fallbacks: list[str]  # nodes that the device does not run itself
    tokens: list[int]  # the sequence now in the cache
    def prefill(self, ids: Sequence[int], poll: Poll | None = None, media: Media = ()) -> int:
        """Makes `ids` the sequence, reusing the longest cached prefix, and leaves the last token's logits ready.

        Returns how many tokens were computed. Raises ContextOverflowError, ArgumentError (empty, id out of range, media
        that do not fit the prompt, the model or max_media_span).
        """
    def work(self, n_tokens: int, depth: int = 0) -> tuple[int, int]:
        """What computing n_tokens after `depth` others, with the last one's logits, takes: bytes to read, multiply-adds.

        Weights count once, of experts as many as the tokens can choose, and the keys and values they see. Raises
        ArgumentError.
        """
    def read_speed(self) -> float:
        """Bytes a second that the device reads its memory at, measured now; 0 where nothing measures it."""
    def snapshot(self) -> None:
        """Keeps the sliding layers' rings as they are now, so that a later prompt can return to this point."""
    def decode(self, id: int, poll: Poll | None = None) -> None:
        """Appends one token and leaves its logits ready. Raises ContextOverflowError."""
    def last_logits(self) -> NDArray[np.float32]:
        """A copy of the ready row, [n_vocab]."""
    def sample(self, sampler: Sampler) -> int:
        """Samples from the ready row; also raises ModelError when the logits are not finite (NaN weights)."""
    def logits(
        self, ids: Sequence[int], positions: Sequence[int], poll: Poll | None = None, media: Media = ()
    ) -> NDArray[np.float32]:
        """Makes `ids` the sequence, recomputing all of it; rows of float32 logits, [len(positions), n_vocab]."""
    def reset(self) -> None:
        """Forgets the sequence."""
    def trace(
        self, ids: Sequence[int], layer_inputs: NDArray[np.float32] | None = None, media: Media = ()
    ) -> dict[str, NDArray[np.float32]]:
        """Runs `ids` from an empty cache in one shot and returns intermediate values (tests, debugging).

        `layer_inputs` [n_layers, tokens, hidden]: each layer reads this instead of the layer before ("teacher forcing").
        Keys: "embedding" [tokens, hidden], "layer.N" [tokens, hidden], "router_ids.N" [tokens, top_k] for mixture of
        experts, "logits" [tokens, n_vocab].
        """

def load_backend(path: str) -> str:
    """Loads a backend's shared library and returns the device name it registers. Raises DeviceError."""

def tensor_table(file: GgufFile) -> list[tuple[str, list[int], bool]]:
    """(name, shape slowest first, required) of every tensor that the model of this file's architecture reads.

    Raises ModelError when the metadata describe no model this engine runs.
    """

# --- media ------------------------------------------------------------------------------------------------------------

class VisionInfo:
    projector: str  # "gemma4v", "gemma4uv"
    patch_size: int  # pixels of a patch's side
    pooling: int  # patches of a soft token's side
    max_position: int  # the longest side of an image, in patches

class AudioInfo:
    projector: str  # "gemma4a", "gemma4ua"
    n_features: int  # values of a frame: log-mel bins, or samples of 16 kHz

class MediaEncoder:
    """A loaded projector file (`mmproj`): turns images and sound into soft tokens. Calls from several threads take turns.

    device "auto": a GPU where there is one. Raises ModelError, DeviceError, ArgumentError, MemoryPlanError.
    """

    def __init__(self, file: GgufFile, *, device: str = "auto", compute: str = "auto", n_threads: int = 0) -> None: ...
    hidden_size: int  # of the soft tokens: the text model's
    device: str
    compute: str
    n_threads: int
    vision: VisionInfo | None
    audio: AudioInfo | None
    def encode_image(
        self, patches: NDArray[np.float32], cols: int, rows: int, poll: Poll | None = None
    ) -> NDArray[np.float32]:
        """Soft tokens [cols * rows / pooling^2, hidden_size] of the patches [rows * cols, 3 * patch_size^2] of an image.

        Patches as transformers' image processor gives them, without padding: row after row of the grid, channels
        innermost, values from 0 to 1. Raises ArgumentError: no vision tower, another shape, a side that is no multiple of
        `pooling` or longer than `max_position`; what `poll`, called between steps, raises."""
    def encode_audio(self, features: NDArray[np.float32], poll: Poll | None = None) -> NDArray[np.float32]:
        """Soft tokens [tokens, hidden_size] of the frames [frames, n_features] of one clip, without padding: a quarter as
        many tokens as log-mel frames, rounded up, or one for each frame of samples.

        Raises ArgumentError: no audio tower, another shape, no frames; what `poll`, called between steps, raises."""
    def node_times(self) -> list[tuple[str, str, float]]:
        """(op, shape of its result, milliseconds) of the last medium, encoded once more op by op; 0: done together with
        the op before. Empty on devices without a clock of their own."""
