"""Stop strings in pieces against a naive search of the whole text."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from g4cpp.errors import ArgumentError, ArgumentTypeError
from g4cpp.stopping import StopStrings


def first_stop(text: str, stop: list[str]) -> tuple[str, str | None]:
    """The text before the stop string that is complete first (the longest of equals), and that string."""
    for end in range(1, len(text) + 1):
        complete = [string for string in stop if text[:end].endswith(string)]
        if complete:
            longest = max(complete, key=len)
            return text[: end - len(longest)], longest
    return text, None


def certain(text: str, stop: list[str]) -> str:
    """What of a text without a stop string no continuation can take back."""
    for start in range(len(text)):
        if any(string.startswith(text[start:]) for string in stop):
            return text[:start]
    return text


def feed_all(pieces: list[str], stop: list[str]) -> tuple[str, str | None]:
    stopping = StopStrings(stop)
    text = "".join(stopping.feed(piece) for piece in pieces)
    return text + stopping.flush(), stopping.matched


# Two letters make overlaps, repeats and stop strings inside one another the rule; the others are of two to
# four bytes in UTF-8, with a combining mark and a joined emoji.
LETTERS = st.sampled_from(["a", "b", "é", "e\u0301", "日", "👩\u200d👧"])
PIECES = st.lists(st.lists(st.sampled_from("ab"), max_size=4).map("".join) | LETTERS, max_size=12)
STOP = st.lists(st.lists(st.sampled_from("ab") | LETTERS, min_size=1, max_size=5).map("".join), max_size=4)


@settings(max_examples=300, deadline=None)
@given(PIECES, STOP)
def test_equals_a_search_of_the_whole_text(pieces: list[str], stop: list[str]) -> None:
    expected = first_stop("".join(pieces), stop)
    assert feed_all(pieces, stop) == expected
    assert feed_all(list("".join(pieces)), stop) == expected
    assert feed_all(["".join(pieces)], stop) == expected


@settings(max_examples=300, deadline=None)
@given(PIECES, STOP)
def test_passes_on_all_that_is_certain_and_no_more(pieces: list[str], stop: list[str]) -> None:
    stopping = StopStrings(stop)
    fed = passed_on = ""
    for piece in pieces:
        fed += piece
        passed_on += stopping.feed(piece)
        before, matched = first_stop(fed, stop)
        assert stopping.matched == matched
        assert stopping.stopped == (matched is not None)
        assert passed_on == (before if matched is not None else certain(fed, stop))


def test_a_stop_string_across_pieces() -> None:
    stopping = StopStrings(["</answer>"])
    assert stopping.feed("42 <") == "42 "
    assert stopping.feed("/ans") == ""
    assert stopping.feed("wer> and more") == ""
    assert (stopping.matched, stopping.feed("again"), stopping.flush()) == ("</answer>", "", "")


def test_a_false_beginning_is_passed_on_up_to_the_next_one() -> None:
    stopping = StopStrings(["aab"])
    assert stopping.feed("aa") == ""
    assert stopping.feed("a") == "a"  # "aa" may still begin one
    assert stopping.feed("b") == ""
    assert stopping.matched == "aab"


def test_the_first_to_be_complete_wins() -> None:
    assert feed_all(["abcd"], ["abcd", "bc"]) == ("a", "bc")
    assert feed_all(["xabc"], ["bc", "abc", "c"]) == ("x", "abc")


def test_flush_gives_what_was_withheld() -> None:
    stopping = StopStrings(["\n\n"])
    assert stopping.feed("line\n") == "line"
    assert stopping.flush() == "\n"
    assert (stopping.flush(), stopping.stopped) == ("", False)


def test_without_stop_strings_everything_passes() -> None:
    stopping = StopStrings([])
    assert stopping.feed("any") == "any"
    assert stopping.flush() == ""


def test_malformed_stop_strings() -> None:
    with pytest.raises(ArgumentError, match=r"\[stop\] non-empty strings expected"):
        StopStrings(["a", ""])
    with pytest.raises(ArgumentTypeError, match="a sequence of strings expected, the string 'abc' found"):
        StopStrings("abc")
    with pytest.raises(ArgumentTypeError, match="strings expected, 3 found"):
        StopStrings([3])  # type: ignore[list-item]
