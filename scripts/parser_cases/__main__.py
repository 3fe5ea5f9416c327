"""Owns `python -m scripts.parser_cases SOURCE FOLDER`, which `scripts/parser-cases` calls."""

from __future__ import annotations

import sys
import tarfile
from pathlib import Path

from scripts.parser_cases.cases import read_cases
from scripts.parser_cases.report import Outcome, difference, results_of, table

_NAME = "tests/test-chat.cpp"


def source_of(path: Path) -> str:
    """Return the C++ source: of a file, or of the file in a source distribution or folder.

    Raises:
        FileNotFoundError: the distribution or folder has no such file.
    """
    if path.is_dir():
        for found in sorted(path.rglob(Path(_NAME).name)):
            return found.read_text(encoding="utf-8")
    elif tarfile.is_tarfile(path):
        with tarfile.open(path) as archive:
            for member in archive:
                if member.name.endswith(_NAME) and (content := archive.extractfile(member)):
                    return content.read().decode("utf-8")
    else:
        return path.read_text(encoding="utf-8")
    raise FileNotFoundError(f"{path} has no {_NAME}")


def main(source: str, folder: str) -> None:
    """Print the differences, then the table."""
    cases, found = read_cases(source_of(Path(source)))
    results = results_of(cases, Path(folder))
    for result in results:
        if result.outcome is Outcome.DIFFERS or result.refusal:
            print(difference(result), end="\n\n")
    print(table(results))
    print(f"\n{len(cases)} cases; {len(cases) - len(results)} of them without a template here.")
    for line, reason in found.unread:
        print(f"line {line} could not be read: {reason}")


if __name__ == "__main__":
    main(*sys.argv[1:])
