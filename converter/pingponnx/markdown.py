"""Strings of strangers in Markdown."""


def cell(text: str) -> str:
    """A string from a model as it may stand in Markdown: no markup, no cell or line break."""
    return "".join(c if c.isalnum() or c in " ,.;:=+-_/()%#@'>" else "?" for c in text)
