"""A fact on another library, and the place in its released archive that shows it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Proof:
    """Words in the files of an archive.

    Args:
        path: glob of the files.
        words: a regular expression, searched line by line.
        least: lines that must hold them; 0 where no line may.
    """

    path: str
    words: str
    least: int = 1


@dataclass(frozen=True)
class Fact:
    """A cell of the table, and what shows it; a cell of "-" is shown by words that are nowhere."""

    text: str
    proofs: tuple[Proof, ...]


@dataclass(frozen=True)
class Peer:
    """A library.

    Args:
        package: its name for pip.
        version: the release that was read.
        title: of its row, in Markdown.
        facts: the cells of the row: its purpose, methods, models, error of the integral, metrics.
    """

    package: str
    version: str
    title: str
    facts: tuple[Fact, Fact, Fact, Fact, Fact]


@dataclass(frozen=True)
class Missing:
    """A thing that this package has not, and the packages that have it."""

    text: str
    who: str
    proofs: tuple[tuple[str, Proof], ...]


FAITHFULNESS = r"(?i)\b(comprehensiveness|infidelity|faithful\w*|sufficiency|insertion|deletion)\b"
INTEGRAL = r"(?i)\b(n_steps|num_steps|convergence_delta)\b"


def everywhere(words: str, least: int = 1) -> tuple[Proof]:
    """Words in any module."""
    return (Proof("*.py", words, least),)


def cell(text: str, *proofs: tuple[str, str]) -> Fact:
    """A fact of files and words."""
    return Fact(text, tuple(Proof(path, words) for path, words in proofs))


NO_METRICS = Fact("-", everywhere(FAITHFULNESS, 0))
NO_INTEGRAL = Fact("needs none", everywhere(INTEGRAL, 0))
