"""Strings of strangers in Markdown."""

import re

_ACTIVE = re.compile(r"(?<![0-9A-Za-z])@|://|(?i:www\.)")  # mentions a person, or becomes a link


def cell(text: str) -> str:
    """A string from a model in Markdown: no markup, link or mention, no cell or line break."""
    text = _ACTIVE.sub("?", text)
    return "".join(c if c.isalnum() or c in " ,.;:=+-_/()%#@'>" else "?" for c in text)
