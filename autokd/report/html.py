"""Small pieces of HTML. Every text that enters a page goes through here, and is escaped here."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from html import escape

from autokd.core.canonical import Json


def tag(name: str, *children: str, **attributes: str) -> str:
    """An element whose ``children`` are HTML already; attribute values are escaped (``class_`` stands for class)."""
    given = "".join(f' {key.rstrip("_").replace("_", "-")}="{escape(value)}"' for key, value in attributes.items())
    return f"<{name}{given}>{''.join(children)}</{name}>"


def text(value: object) -> str:
    """A plain text as HTML."""
    return escape(str(value))


def data_script(name: str, value: Json) -> str:
    """JSON that scripts of the page read; nothing in it can end the element or be taken for markup."""
    safe = json.dumps(value, allow_nan=False).replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")
    return f'<script type="application/json" id="{escape(name)}">{safe}</script>'


def cell(shown: str, value: object = None, kind: str = "") -> str:
    """A table cell: HTML to show, and the value to sort by where that differs."""
    attributes = {"class_": kind} if kind else {}
    if value is not None:
        attributes["data_value"] = str(value)
    return tag("td", shown, **attributes)


def number_cell(value: float | None, form: str) -> str:
    """A right-aligned number, empty where it was not measured."""
    return cell("" if value is None else text(format(value, form)), "" if value is None else value, "n")


def table(heads: Sequence[tuple[str, str]], rows: Iterable[str], **attributes: str) -> str:
    """A table from (head, class) pairs and finished rows, scrolling sideways where it is too wide."""
    head = "".join(tag("th", text(name), **({"class_": kind} if kind else {})) for name, kind in heads)
    body = tag("tbody", *rows)
    return tag("div", tag("table", tag("thead", tag("tr", head)), body, **attributes), class_="scroll")


def pairs(values: Mapping[str, object]) -> str:
    """A two-column table of names and values."""
    rows = (tag("tr", tag("td", text(name)), tag("td", text(value))) for name, value in values.items())
    return tag("table", tag("tbody", *rows), class_="plain")
