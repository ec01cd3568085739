"""Is it the model or the engine? Long-context coherence, perplexity, and comparisons of formats and devices.

    from g4cpp import eval
    eval.coherence("gemma.gguf", lengths=(4096, 16384), out="report").failed
    eval.perplexity("gemma.gguf", text).perplexity
    eval.compare("a.gguf", "b.gguf").kl_mean

docs/evaluation.md says what the cells mean.
"""

from g4cpp.eval.cells import Blame, Cell, read_journal
from g4cpp.eval.coherence import Result, coherence
from g4cpp.eval.compare import Comparison, compare
from g4cpp.eval.perplexity import Perplexity, perplexity
from g4cpp.eval.settings import Setting

__all__ = [
    "Blame",
    "Cell",
    "Comparison",
    "Perplexity",
    "Result",
    "Setting",
    "coherence",
    "compare",
    "perplexity",
    "read_journal",
]
