"""The tables of values in the charts' READMEs, made from the comments `# -- …` in their values.yaml."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import yaml

BEGIN, END = "<!-- values: made by `make charts` -->", "<!-- end of values -->"


def rows(path: Path) -> list[tuple[str, str, str]]:
    """Key, default and what it says, of each value with a comment of its own."""
    text = path.read_text()
    values = yaml.safe_load(text)
    found: list[tuple[str, str, str]] = []
    parents: list[tuple[int, str]] = []
    comment: str | None = None
    for line in text.splitlines():
        if match := re.match(r"\s*# -- (.*)", line):
            comment = match[1]
        elif match := re.match(r"(\s*)([A-Za-z][\w./-]*):", line):
            indentation = len(match[1])
            while parents and parents[-1][0] >= indentation:
                parents.pop()
            parents.append((indentation, match[2]))
            if comment is not None:
                keys = [name for _, name in parents]
                found.append((".".join(keys), json.dumps(_at(values, keys), ensure_ascii=False), comment))
                comment = None
    return found


def _at(values: Any, keys: list[str]) -> Any:
    for key in keys:
        values = values[key]
    return values


def leaves(values: Any, documented: set[str], path: str = "") -> list[str]:
    """Every value that no comment is about."""
    if path in documented or not isinstance(values, dict):
        return [] if path in documented else [path]
    return [leaf for key, value in values.items() for leaf in leaves(value, documented, f"{path}.{key}".lstrip("."))]


def table(path: Path) -> str:
    lines = ["| value | default | what |", "|---|---|---|"]
    lines += [f"| `{key}` | `{default}` | {what} |" for key, default, what in rows(path)]
    return "\n".join(lines)


def with_table(readme: str, values: Path) -> str:
    """A README with its table made anew."""
    before, _, rest = readme.partition(BEGIN)
    _, _, after = rest.partition(END)
    return f"{before}{BEGIN}\n\n{table(values)}\n\n{END}{after}"
