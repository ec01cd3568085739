"""Generated conversations that need the context: retrieval, recall, copying, counting, chat, thinking, tools.

Every task is a `Task`: context pieces scattered over a filler text, then questions with one right answer each. The
same code makes training conversations (many questions on one context) and evaluation prompts (one question). These are
plain text in the chat format of chat_template.jinja: an evaluation through any engine asks exactly what was trained.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass, field

ADJECTIVES = """
amber ancient blue bold brave bright broken calm clever cold copper crimson curious dark deep distant dry dusty
early empty fair fast fierce fine frozen gentle giant golden grand gray green happy heavy hidden hollow honest
humble iron jolly kind large lazy light little lonely long lost loud lucky marble mighty misty narrow noble old
orange pale patient plain proud purple quick quiet rare red rich rough round royal rusty scarlet secret sharp
shy silent silver simple sleepy slow small smooth soft solid steep stone strange strong sunny sweet swift tall
tame thin tiny velvet warm white wide wild wise wooden yellow young
""".split()  # noqa: SIM905
NOUNS = """
anchor apple arrow badger barrel basket beacon bear bell boat book bottle bridge candle canyon castle cat chair
clock cloud coat cookie crown desert dog door dragon drum eagle engine falcon feather field fire fish flag
flower forest fountain fox garden gate glass hammer harbor hat hawk hill horse house island jacket key king
kitchen kite ladder lake lamp lantern leaf letter lion map market meadow mirror moon mountain mouse needle ocean
otter owl palace paper pencil piano picture pilot planet queen rabbit radio ring river road robot rose sailor
school shadow shell ship shoe spoon star stone table teacher temple tiger tower train tree tunnel turtle valley
violin wagon wall watch whale wheel window wolf
""".split()  # noqa: SIM905
ORDINALS = ["first", "second", "third", "fourth", "fifth"]


@dataclass
class Task:
    """`pieces` go into the filler in this order, `questions` are (question, answer) pairs."""

    pieces: list[str]
    questions: list[tuple[str, str]]
    system: str = ""
    scatter: bool = True  # spread the pieces over the filler; otherwise they stand together
    filler: bool = True
    extra: list[str] = field(default_factory=list)


def name(rng: random.Random) -> str:
    return f"{rng.choice(ADJECTIVES)} {rng.choice(NOUNS)}"


def names(rng: random.Random, count: int) -> list[str]:
    found: dict[str, None] = {}
    while len(found) < count:
        found[name(rng)] = None
    return list(found)


def digits(rng: random.Random, count: int) -> str:
    return "".join(rng.choice("0123456789") for _ in range(count))


def needle(rng: random.Random, size: int) -> Task:
    """`size` facts with distinct names."""
    facts = [(key, digits(rng, 5)) for key in names(rng, size)]
    lines = [f"The secret number of the {key} is {value}." for key, value in facts]
    asked = rng.sample(range(size), min(size, 24))
    return Task(lines, [(f"What is the secret number of the {facts[i][0]}?", lines[i]) for i in asked])


def multi_needle(rng: random.Random, size: int) -> Task:
    """Several notes on the same names; the question names one by its number."""
    keys = names(rng, max(1, size // 3))
    notes = [(number + 1, key, f"{name(rng)} and {name(rng)}") for key in keys for number in range(3)]
    lines = [f"Note {number} about the {key}: {text}." for number, key, text in notes]
    asked = rng.sample(range(len(notes)), min(len(notes), 16))
    rng_order = sorted(range(len(notes)), key=lambda i: (notes[i][0], rng.random()))
    questions = [(f"What does note {notes[i][0]} about the {notes[i][1]} say?", lines[i]) for i in asked]
    return Task([lines[i] for i in rng_order], questions)


def key_value(rng: random.Random, size: int) -> Task:
    """A dense table without filler."""
    keys = names(rng, size)
    lines = [f"{key}: {digits(rng, 4)}" for key in keys]
    asked = rng.sample(range(size), min(size, 24))
    questions = [(f"What is the value of {keys[i]}?", lines[i]) for i in asked]
    return Task(["This is a table of values.", *lines], questions, scatter=False, filler=False)


def copy_back(rng: random.Random, size: int) -> Task:
    """Word sequences to be repeated verbatim."""
    keys = names(rng, max(1, min(size // 3, 8)))
    texts = [" ".join(name(rng) for _ in range(rng.randint(4, 16))) for _ in keys]
    lines = [f"Passage {key}: {text}." for key, text in zip(keys, texts, strict=True)]
    order = rng.sample(range(len(keys)), min(len(keys), 6))
    return Task(lines, [(f"Repeat passage {keys[i]}.", lines[i]) for i in order])


def ordered_recall(rng: random.Random, size: int) -> Task:
    """Numbered items met in order, asked for as a list."""
    items = names(rng, rng.randint(2, 6))
    lines = [f"Checkpoint {i + 1} is the {item}." for i, item in enumerate(items)]
    return Task(lines, [("List all checkpoints in order.", " ".join(lines))])


def counting(rng: random.Random, size: int) -> Task:
    """How often a thing was seen, 1 to 6 times."""
    keys = names(rng, 3)
    counts = [rng.randint(1, 6) for _ in keys]
    lines = [f"The {key} was seen here." for key, count in zip(keys, counts, strict=True) for _ in range(count)]
    rng.shuffle(lines)
    times = ["once" if count == 1 else f"{count} times" for count in counts]
    return Task(
        lines,
        [(f"How often was the {key} seen?", f"The {key} was seen {t}.") for key, t in zip(keys, times, strict=True)],
    )


CHAT = [
    (["Hello!", "Hi!", "Hello, how are you?", "Good morning!"], "Hello! How can I help you today?"),
    (["Who are you?", "What is your name?", "What are you?"],
     "I am a small demo model with the Gemma 4 architecture. I was trained from scratch to test long contexts."),
    (["Thank you!", "Thanks a lot.", "Thanks!"], "You are welcome!"),
    (["Goodbye!", "Bye!", "See you later."], "Goodbye! Have a nice day."),
    (["What can you do?", "How can you help me?"],
     "I can continue English text, find facts in a long text, repeat passages and count things."),
    (["Are you a large model?", "How big are you?"],
     "No, I am a very small model with fewer than 15 million parameters."),
]  # fmt: skip
CITIES = ["Paris", "London", "Rome", "Berlin", "Madrid", "Oslo", "Vienna", "Tokyo", "Cairo", "Lima", "Boston", "Delhi"]


def chat(rng: random.Random, size: int) -> Task:
    """Short turns without context; some depend on an earlier turn."""
    questions = []
    friend = rng.choice(["Anna", "Tom", "Maria", "Peter", "Lucy", "Paul", "Emma", "John", "Clara", "Simon"])
    if rng.random() < 0.5:
        questions.append((f"My name is {friend}.", f"Nice to meet you, {friend}!"))
    for _ in range(rng.randint(1, 4)):
        kind = rng.random()
        a, b = rng.randint(1, 20), rng.randint(1, 20)
        if kind < 0.4:
            asked, answer = rng.choice(CHAT)
            questions.append((rng.choice(asked), answer))
        elif kind < 0.6:
            questions.append((f"What is {a} plus {b}?", f"{a} plus {b} is {a + b}."))
        elif kind < 0.8 or not questions[:1] or not questions[0][0].startswith("My name"):
            text = name(rng)
            questions.append((f"Say {text}.", text))
        else:
            questions.append(("What is my name?", f"Your name is {friend}."))
    return Task([], questions, filler=False)


def thinking(rng: random.Random, size: int) -> Task:
    """A closed thought before the answer, because the system turn asks for it."""
    a, b = rng.randint(1, 20), rng.randint(1, 20)
    thought = f"I have to add {a} and {b}. The sum is {a + b}."
    answer = f"<|channel>thought\n{thought}\n<channel|>{a} plus {b} is {a + b}."
    return Task([], [(f"What is {a} plus {b}?", answer)], system="<|think|>\n", filler=False)


def tools(rng: random.Random, size: int) -> Task:
    """A declared function, a call, its response, the answer."""
    city, degrees = rng.choice(CITIES), rng.randint(-10, 38)
    quote = '<|"|>'
    system = (
        f"<|tool>declaration:get_weather{{description:{quote}Get the weather of a city.{quote},parameters:"
        f"{{properties:{{city:{{type:{quote}string{quote}}}}},required:[{quote}city{quote}],type:{quote}object{quote}}}}}<tool|>"
    )
    call = f"<|tool_call>call:get_weather{{city:{quote}{city}{quote}}}<tool_call|>"
    response = f"<|tool_response>response:get_weather{{degrees:{degrees}}}<tool_response|>"
    answer = f"It is {degrees} degrees in {city}."
    return Task([], [(f"What is the weather in {city}?", call)], system=system, filler=False, extra=[response, answer])


LONG: dict[str, Callable[[random.Random, int], Task]] = {
    "needle": needle,
    "multi_needle": multi_needle,
    "key_value": key_value,
    "copy_back": copy_back,
    "ordered_recall": ordered_recall,
    "counting": counting,
}
LONG_SHARES = {"needle": 5, "multi_needle": 3, "key_value": 3, "copy_back": 2, "ordered_recall": 2, "counting": 1}
SHORT: dict[str, Callable[[random.Random, int], Task]] = {"chat": chat, "thinking": thinking, "tools": tools}
SHORT_SHARES = {"chat": 6, "thinking": 1, "tools": 1}


def draw(rng: random.Random, shares: dict[str, int]) -> str:
    return rng.choices(list(shares), list(shares.values()))[0]
