"""Chat templates: the file's own Jinja2 template, rendered in a sandbox with the names Hugging Face gives
templates.

Templates come with downloaded files, so they are untrusted: they see plain JSON data only, in Jinja2's
immutable sandbox.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, NoReturn

import jinja2
from jinja2.ext import loopcontrols
from jinja2.sandbox import ImmutableSandboxedEnvironment

from g4cpp.errors import ArgumentTypeError, TemplateError

BUILT_IN = {
    # The turns of Gemma 3, whose base models and some published files come without a template.
    "gemma3": """{{ bos_token }}
{%- if messages[0].role == 'system' %}
    {%- set prefix = messages[0].content | trim + '\n\n' %}
    {%- set turns = messages[1:] %}
{%- else %}
    {%- set prefix = '' %}
    {%- set turns = messages %}
{%- endif %}
{%- for turn in turns %}
    {%- set role = 'model' if turn.role == 'assistant' else turn.role %}
    {{- '<start_of_turn>' + role + '\n' + (prefix if loop.first else '') + turn.content | trim +
    '<end_of_turn>\n' }}
{%- endfor %}
{%- if add_generation_prompt %}{{ '<start_of_turn>model\n' }}{% endif %}""",
}
"""Templates that can be asked for by name."""

_FAILURES = (
    jinja2.TemplateError, ArithmeticError, AttributeError, LookupError, RecursionError, TypeError, ValueError,
)  # fmt: skip
"""What a template that was not written for these messages can end in."""


class ChatTemplate:
    """A compiled template. `special` holds the texts of the special tokens it may name: bos_token, eos_token,
    ..."""

    def __init__(self, source: str, special: Mapping[str, str]) -> None:
        """Raises TemplateError when the source is not Jinja2."""
        environment = ImmutableSandboxedEnvironment(
            trim_blocks=True, lstrip_blocks=True, extensions=[loopcontrols], autoescape=False
        )
        environment.filters["tojson"] = _tojson
        environment.globals["raise_exception"] = _raise_exception
        environment.globals["strftime_now"] = lambda format: datetime.now().strftime(format)
        try:
            self._template = environment.from_string(source)
        except (jinja2.TemplateError, RecursionError) as error:
            line = getattr(error, "lineno", None)
            place = f"line {line}: " if line else ""
            raise TemplateError(f"[template] Jinja2 expected, {place}{_one_line(error)}") from error
        self.source = source
        self._special = dict(special)

    def render(
        self,
        messages: Sequence[Mapping[str, Any]],
        *,
        thinking: bool = False,
        tools: Sequence[Mapping[str, Any]] | None = None,
        add_generation_prompt: bool = True,
    ) -> str:
        """The prompt text. Raises TemplateError when the template refuses or fails on these messages."""
        data = {
            **self._special,
            "messages": plain_messages(messages),
            "tools": _plain(list(tools), "tools") if tools else None,
            "enable_thinking": thinking,
            "add_generation_prompt": add_generation_prompt,
        }
        try:
            return self._template.render(data)
        except _FAILURES as error:
            raise TemplateError(f"[template] these messages: {_one_line(error)}") from error


def plain_messages(messages: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """The messages as plain JSON data.

    Raises ArgumentTypeError, TemplateError (none, or one without role or content).
    """
    if isinstance(messages, (str, bytes, Mapping)) or not isinstance(messages, Sequence):
        raise ArgumentTypeError(
            f"[chat] messages: a list of messages expected, {type(messages).__name__} found"
        )
    if not messages:
        raise TemplateError("[chat] messages: at least one expected, 0 found")
    plain: list[dict[str, Any]] = []
    for place, message in enumerate(messages):
        where = f"messages[{place}]"
        if not isinstance(message, Mapping):
            raise ArgumentTypeError(f"[chat] {where}: a dictionary expected, {type(message).__name__} found")
        if not isinstance(message.get("role"), str):
            raise TemplateError(f"[chat] {where}: a role expected, {message.get('role')!r} found")
        if message.get("content") is None and not message.get("tool_calls"):
            raise TemplateError(f"[chat] {where}: content expected, none found")
        copied = _plain(message, where)
        # Templates iterate over call arguments; clients send them as JSON text.
        for call in copied.get("tool_calls") or []:
            function = call.get("function") if isinstance(call, dict) else None
            if isinstance(function, dict) and isinstance(function.get("arguments"), str):
                function["arguments"] = _parsed_arguments(function["arguments"], where)
        plain.append(copied)
    return plain


def _plain(value: Any, where: str) -> Any:
    """A deep copy in dictionaries, lists and scalars: nothing with methods of its own reaches the sandbox."""
    if value is None or isinstance(value, (bool, int, float)):
        return value
    if isinstance(value, str):
        return str(value)
    if isinstance(value, Mapping):
        return {str(key): _plain(item, f"{where}.{key}") for key, item in value.items()}
    if isinstance(value, Sequence) and not isinstance(value, (bytes, bytearray)):
        return [_plain(item, f"{where}[{place}]") for place, item in enumerate(value)]
    raise ArgumentTypeError(
        f"[chat] {where}: text, numbers, lists or dictionaries expected, {type(value).__name__} found"
    )


def _parsed_arguments(text: str, where: str) -> Any:
    try:
        return json.loads(text)
    except ValueError as error:
        raise TemplateError(f"[chat] {where}: tool call arguments in JSON expected, {error}") from error


def _tojson(
    value: Any,
    ensure_ascii: bool = False,
    indent: int | None = None,
    separators: tuple[str, str] | None = None,
    sort_keys: bool = False,
) -> str:
    # Jinja2's own filter escapes for HTML, which prompts must not be.
    return json.dumps(
        value, ensure_ascii=ensure_ascii, indent=indent, separators=separators, sort_keys=sort_keys
    )


def _raise_exception(message: str) -> NoReturn:
    raise jinja2.TemplateError(message)


def _one_line(error: BaseException) -> str:
    return " ".join(str(error).split()) or type(error).__name__
