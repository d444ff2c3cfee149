"""Which processes there are, counted and written as a page: `python -m tests.spec.overview` writes it."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from processes.ready_made import read_ready_made
from processes.registry import build_registry
from tests.processes.exceptions import NEVER
from tests.spec.deviations import DEVIATIONS, NOT_OF_THE_STANDARD
from tests.spec.left_out import LEFT_OUT
from tests.spec.make import FACTS, VERSION

PAGE = Path(__file__).parents[2] / "docs" / "processes.md"
_COLUMNS = 116


def served() -> dict[str, dict[str, Any]]:
    """Return the specifications of all processes that a server offers, by id."""
    processes = build_registry()["predefined", None].values()
    return {process.spec["id"]: process.spec for process in sorted(processes, key=lambda one: one.spec["id"])}


def page() -> str:
    """Return the page."""
    specs, standard = served(), set(json.loads(FACTS.read_text(encoding="utf-8")))
    ready = [spec["id"] for spec in read_ready_made()]
    kept = sorted(standard & set(specs))
    parts = [
        "# Processes",
        "",
        f"There are {len(specs)} predefined processes: {len(kept)} of the {len(standard)} of openeo-processes "
        f"{VERSION} (proposals included), {len(NOT_OF_THE_STANDARD)} of this server's own or from drafts for machine "
        f"learning, and {len(ready)} ready-made process graphs. {len(LEFT_OUT)} of the standard's are left out. `GET "
        "/processes` has them all with parameters and exceptions. This page is written by `python -m "
        "tests.spec.overview`; a test holds it against the processes that there are.",
        "",
        "## Of the standard",
        "",
        *_flow(f"`{id}`" for id in kept),
        "",
        "Parameters, returned types and exceptions are those of the standard, but for this:",
        "",
        *_deviations(),
        "",
        "These exceptions are listed, but cannot occur here:",
        "",
        *(f"- `{id}`, `{code}`: {reason}" for (id, code), reason in sorted(NEVER.items())),
        "",
        "## Of this server",
        "",
        *_table({id: specs[id] for id in sorted(NOT_OF_THE_STANDARD)}),
        "",
        "Ready-made process graphs, to be used as they are or as a pattern:",
        "",
        *_table({id: specs[id] for id in ready}),
        "",
        "## Left out",
        "",
        *(f"- `{id}`: {reason}" for id, reason in sorted(LEFT_OUT.items())),
    ]
    return "\n".join(parts) + "\n"


def _flow(words: Iterable[str]) -> Iterator[str]:
    """Yield words, with commas between them, in lines of a bounded length."""
    line = ""
    for word in words:
        if line and len(line) + len(word) + 2 > _COLUMNS:
            yield f"{line},"
            line = ""
        line = f"{line}, {word}" if line else word
    yield line


def _deviations() -> Iterator[str]:
    for id, places in sorted(DEVIATIONS.items()):
        by_reason: dict[str, list[str]] = {}
        for place, reason in places.items():
            by_reason.setdefault(reason, []).append(f"`{place}`")
        yield from (f"- `{id}` ({', '.join(found)}): {reason}" for reason, found in by_reason.items())


def _table(specs: Mapping[str, Mapping[str, Any]]) -> Iterator[str]:
    yield from ("| process | what it does |", "|---|---|")
    yield from (f"| `{id}` | {spec['summary']} |" for id, spec in specs.items())


def main() -> None:
    """Write the page and print what is counted."""
    PAGE.write_text(page(), encoding="utf-8")
    print(PAGE.read_text(encoding="utf-8").split("\n")[2])  # noqa: T201


if __name__ == "__main__":
    main()
