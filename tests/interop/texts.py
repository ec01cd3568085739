"""Real text for the comparisons: prompts, and Python's own documentation as the interpreter ships it."""

from __future__ import annotations

from pydoc_data.topics import topics

PROMPTS = [
    "The three primary colours are",
    "The capital of France is",
    "Once upon a time there was a little girl who",
    "def fibonacci(n):\n",
    "Water boils at a temperature of",
    "Dear Sir or Madam,\n\nI am writing to",
    "The Second World War began in",
    "Die Hauptstadt von Deutschland ist",
    "Ingredients:\n- 200 g flour\n- 2 eggs\n",
    "Q: What is the largest planet in the solar system?\nA:",
]


def documentation() -> str:
    """About 2,500 tokens of prose and code on the `with` and `import` statements, from pydoc's topics."""
    return "\n\n".join(topics[name] for name in ("context-managers", "with", "exceptions", "import"))
