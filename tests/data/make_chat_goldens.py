"""Writes chat_goldens.json: conversations as transformers' apply_chat_template renders them by Gemma 4's
template.

    python tests/data/make_chat_goldens.py        # needs transformers 5.23 and tokenizers; no weights

Run again only when the template or the cases change.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import transformers
from tokenizers import Tokenizer, models

HERE = Path(__file__).parent

TOOL = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "description": "The weather of a place",
        "parameters": {
            "type": "object",
            "properties": {
                "place": {"type": "string", "description": "Town"},
                "Days": {"type": "integer"},
                "units": {"type": "string", "enum": ["C", "F"]},
            },
            "required": ["place"],
        },
    },
}
USER = {"role": "user", "content": "  Hi there\n"}
SYSTEM = {"role": "system", "content": "Be brief."}
THOUGHT = {"role": "assistant", "content": "<|channel>thought\nWell.\n<channel|>Hello!"}
CALL = {
    "role": "assistant",
    "content": "",
    "tool_calls": [
        {
            "id": "1",
            "function": {"name": "get_weather", "arguments": {"place": "Zürich", "Days": 2, "far": True}},
        }
    ],
}
RESULT = {"role": "tool", "tool_call_id": "1", "content": "sunny"}
PARTS = {"role": "user", "content": [{"type": "text", "text": "one "}, {"type": "text", "text": "two"}]}
UNICODE = {"role": "user", "content": "Grüße 🌍 <b>&amp;</b> {{ 7 * 7 }} 日本"}

CASES: dict[str, dict[str, Any]] = {
    "user": {"messages": [USER]},
    "user thinking": {"messages": [USER], "thinking": True},
    "no generation prompt": {"messages": [USER], "add_generation_prompt": False},
    "system": {"messages": [SYSTEM, USER]},
    "system thinking": {"messages": [SYSTEM, USER], "thinking": True},
    "developer": {"messages": [{**SYSTEM, "role": "developer"}, USER]},
    "thought stripped": {"messages": [USER, THOUGHT, USER]},
    "thought stripped, thinking": {"messages": [SYSTEM, USER, THOUGHT, USER], "thinking": True},
    "assistant twice": {"messages": [USER, THOUGHT, {"role": "assistant", "content": "More."}, USER]},
    "parts": {"messages": [PARTS]},
    "unicode and markup": {"messages": [UNICODE]},
    "tools": {"messages": [USER], "tools": [TOOL]},
    "tool result": {"messages": [SYSTEM, USER, CALL, RESULT], "tools": [TOOL], "thinking": True},
    "tool result and on": {
        "messages": [USER, CALL, RESULT, {"role": "assistant", "content": "Sunny."}, USER],
        "tools": [TOOL],
    },
}


def main() -> None:
    make: Any = transformers.PreTrainedTokenizerFast
    tokenizer = make(
        tokenizer_object=Tokenizer(models.WordLevel({"<unk>": 0}, unk_token="<unk>")),
        bos_token="<bos>",
        eos_token="<eos>",
        pad_token="<pad>",
        unk_token="<unk>",
    )
    template = (HERE / "gemma4.chat_template.jinja").read_text()
    rendered = {}
    for name, case in CASES.items():
        text = tokenizer.apply_chat_template(
            case["messages"],
            tools=case.get("tools"),
            chat_template=template,
            tokenize=False,
            add_generation_prompt=case.get("add_generation_prompt", True),
            enable_thinking=case.get("thinking", False),
        )
        rendered[name] = {**case, "text": text}
    out = {"transformers": transformers.__version__, "cases": rendered}
    (HERE / "chat_goldens.json").write_text(
        json.dumps(out, indent=1, ensure_ascii=False) + "\n", encoding="utf-8"
    )


if __name__ == "__main__":
    main()
