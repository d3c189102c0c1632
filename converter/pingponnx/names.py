"""Strings from an ONNX file are a stranger's: made safe here before they reach C, comments or paths."""

import re
import shlex

from pingponnx.errors import Error

_KEYWORDS = frozenset(  # of C11 and C++17
    """alignas alignof and asm atomic auto bool break case catch char class complex const constexpr continue
    default delete do double else enum explicit export extern false float for friend goto if imaginary inline
    int long main mutable namespace new noexcept not nullptr operator or private protected public register
    restrict return short signed sizeof static struct switch template this thread throw true try typedef
    typename union unsigned using virtual void volatile wchar_t while xor""".split()  # noqa: SIM905 - a list of sixty strings reads worse
)
_HEADERS = frozenset(  # of C and of what its headers include, from whatever folder comes first
    """aio alloca assert complex cpio ctype dirent dlfcn endian envz errno error fcntl features fenv float
    fpu_control fts ftw getopt glob grp iconv inttypes iso646 langinfo libgen limits link locale malloc
    math memory monetary netdb new newlib paths poll pthread pwd reent regdef regex sched search
    semaphore setjmp signal spawn stab stdalign stdarg stdatomic stdbool stdckdint stddef stdint stdio
    stdlib stdnoreturn string strings syscall syslimits syslog tar termios tgmath thread threads time
    uchar ucontext unctrl unistd unwind utime utmp version wait wchar wctype wordexp xlocale""".split()  # noqa: SIM905 - as above
)
_FOREIGN = ("arm_", "cmsis_")  # how headers of CMSIS and of Arm's compilers begin
_LIBRARY = frozenset(  # first words, without numbers, of what a generated library calls <model>_<name> itself
    """arena begin dequantize feed finish input keep n node output place quantize rest run segment self
    state status steps""".split()  # noqa: SIM905 - as above
)
_MAX_IDENTIFIER = 40
_MAX_COMMENT = 80
_MAX_SHOWN = 60


def identifier(text: str, default: str = "model") -> str:
    """A lower-case C identifier made of `text`; `default` when nothing usable is left."""
    name = re.sub(r"[^a-z0-9]+", "_", text.lower()).strip("_")[:_MAX_IDENTIFIER].strip("_")
    if not name:
        return default
    if name[0].isdigit() or name in _KEYWORDS:
        name = f"{default}_{name}"
    return name


def check_bank(name: str) -> None:
    """Raises Error for a bank's name that cannot become part of C names."""
    hint = "a bank is called like dtcm or sram_1: a lower-case C identifier, no keyword"
    if re.fullmatch(r"[a-z][a-z0-9_]*", name) is None or len(name) > _MAX_IDENTIFIER or name in _KEYWORDS:
        raise Error(f"{name!r} cannot be a bank's name", hint)
    if name.partition("_")[0].rstrip("0123456789") in _LIBRARY:
        raise Error(f"{name!r} cannot be a bank's name: the C library has names of its own like it", hint)


def prefix(model: str, taken: frozenset[str]) -> str:
    """What files and symbols of a model are called; `taken` are the names of headers without suffix."""
    name = identifier(model)
    stem = name.removesuffix("_data")
    foreign = name.startswith(_FOREIGN) or {name, stem} & (taken | _HEADERS)
    return f"model_{name}" if foreign else name


def printable(text: str) -> str:
    """A file's name as text: bytes in it that are no UTF-8 become question marks."""
    return text.encode("utf-8", "replace").decode()


def is_onnx(domain: str) -> bool:
    """The domain of ONNX's own operators; others may have operators of the same names."""
    return domain in ("", "ai.onnx")


def short(name: str) -> str:
    """A name that fits a line or a table; tf2onnx makes names of 300 characters."""
    return name if len(name) <= _MAX_SHOWN else f"{name[: _MAX_SHOWN - 3]}..."


def counted(number: int, what: str) -> str:
    """`1 sample`, `2 samples`."""
    return f"{number:,} {what}{'' if number == 1 else 's'}"


def argument(text: str) -> str:
    """`text` as one word of a command that we advise to run."""
    return text if re.fullmatch(r"[\w.,=:/@%+-]+", text, re.ASCII) else shlex.quote(text)


def spreadsheet(text: str) -> str:
    """A cell of a CSV file on one line, which no spreadsheet takes for a formula."""
    line = re.sub(r"[\x00-\x1f\x7f-\x9f]", "?", text)
    return f"'{line}" if line.startswith(("=", "+", "-", "@")) else line


def comment(text: str) -> str:
    """`text` as it may stand in a C comment: printable, short, unable to end the comment or the line."""
    return re.sub(r"[^A-Za-z0-9_.,:;()\[\] +=<>@#-]", "_", text)[:_MAX_COMMENT]
