"""Token ids of prompts with media against transformers' Gemma4Processor, for the same messages and files.

The towers' place is taken by a stand-in that gives as many tokens as they would; everything before is the real thing.
"""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from checkpoints import save_tokenizer
from fake_media import FakeEncoder, png, wav, write_projector
from PIL import Image as Pillow

import g4cpp._core
from g4cpp import Audio, Image, Tokenizer
from g4cpp.convert import convert
from g4cpp.media.encoder import MediaEncoder
from g4cpp.media.projector import Found, describe_projector
from g4cpp.files import open_gguf
from g4cpp.prompt import Clip, assemble
from g4cpp.prompting import Prompter
from tiny_checkpoint import write_checkpoint

pytestmark = pytest.mark.parity
transformers = pytest.importorskip("transformers")
