"""CMSIS-NN, whose sources are the user's: found, compiled once a core into a cache, asked for buffer sizes.

Nothing of it is kept here. What differs between its releases (4.0.0 up to main of 2026) is read from the
copy at hand: which functions it has, and the parameters of those whose interface changed.
"""

import base64
import functools
import hashlib
import importlib.metadata
import importlib.util
import json
import os
import re
import struct
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import platformdirs

from pingponnx import __version__
from pingponnx._paths import cmsis_baseline
from pingponnx.build import OPTIMISATION, build, call_graph_of, compile_library, compiler_version
from pingponnx.calls import ScratchQuery, Struct
from pingponnx.entry import Entry
from pingponnx.errors import Error, ToolchainError
from pingponnx.fixed_point import Rounding
from pingponnx.output import write_file
from pingponnx.process import execute
from pingponnx.run import run
from pingponnx.targets import Target
from pingponnx.workspace import temporary_folder

ROOT_VARIABLE = "CMSIS_NN_ROOT"
CACHE_VARIABLE = "PINGPONNX_CACHE"


_FUNCTIONS_HEADER = "arm_nnfunctions.h"
_CORE_HEADER = "cmsis_compiler.h"  # CMSIS-Core's; 7.0 brought its own
_FOLDERS = ("ConvolutionFunctions", "FullyConnectedFunctions", "NNSupportFunctions", "PoolingFunctions")
_FLOAT = re.compile(r"_(f16|f32|flt)\b")
_HINT = f"pip install bakenn==1.0.0, or give a checkout of CMSIS-NN: --cmsis-nn DIR, {ROOT_VARIABLE}=DIR"

# The interface that cmsis_baseline/ is written against: numbers of parameters by function.
_PARAMETERS = {
    "arm_convolve_s8": (11, 12),
    "arm_convolve_s8_get_buffer_size": (2,),
    "arm_convolve_wrapper_s8": (11,),
    "arm_convolve_wrapper_s8_get_buffer_size": (4,),
    "arm_depthwise_conv_wrapper_s8": (11,),
    "arm_depthwise_conv_wrapper_s8_get_buffer_size": (4,),
    "arm_fully_connected_s8": (11,),
    "arm_fully_connected_s8_get_buffer_size": (1,),
    "arm_fully_connected_per_channel_s8": (11,),
    "arm_max_pool_s8": (7,),
    "arm_avgpool_s8": (7,),
    "arm_avgpool_s8_get_buffer_size": (2,),
    "arm_vector_sum_s8": (4, 6, 7),
}

# On a computer: the name by which 4.x knows that there is no Arm, and what its Arm headers would define.
_HOST_DEFINES = ("__GNUC_PYTHON__", "__RESTRICT=__restrict", "__CLZ=__builtin_clz")


@dataclass(frozen=True, slots=True)
class CmsisSource:
    """A copy of CMSIS-NN. `source` says where it is from, without a path; `defines` are for the glue."""

    version: str
    source: str
    include_dirs: tuple[Path, ...]
    sources: tuple[Path, ...]
    functions: frozenset[str]
    defines: tuple[str, ...] = ()


# -- finding ----------------------------------------------------------------------------------------


def find(explicit: Path | None = None) -> CmsisSource:
    """The copy to use: the folder given, else that of CMSIS_NN_ROOT, else the one inside bakenn's wheel."""
    if explicit is not None:
        return _checkout(explicit, "--cmsis-nn")
    if os.environ.get(ROOT_VARIABLE):
        return _checkout(Path(os.environ[ROOT_VARIABLE]), ROOT_VARIABLE)
    vendor = _vendor()
    if vendor is None or not (vendor / "cmsis_nn" / "Include" / _FUNCTIONS_HEADER).is_file():
        raise ToolchainError("the sources of CMSIS-NN are not installed", _HINT)
    if (damaged := _damaged(vendor)) is not None:
        message = f"bakenn's copy of CMSIS-NN is damaged: {damaged} is not the file of its wheel"
        raise ToolchainError(message, "pip install --force-reinstall --no-deps bakenn==1.0.0")
    root = vendor / "cmsis_nn"
    return _source(root, _bundled_version(root), f"bakenn {importlib.metadata.version('bakenn')}")


def _vendor() -> Path | None:
    """What bakenn bundles; the package is not imported, only its files are used."""
    spec = importlib.util.find_spec("bakenn")
    if spec is None or not spec.submodule_search_locations:
        return None
    return Path(spec.submodule_search_locations[0]) / "backend" / "cmsis_nn" / "vendor"


@functools.cache
def _damaged(vendor: Path) -> str | None:
    """The first file of the copy that has not the digest its wheel noted; None when all have."""
    for file in importlib.metadata.files("bakenn") or ():
        path = Path(str(file.locate())).resolve()
        if file.hash is None or not path.is_relative_to(vendor.resolve()):
            continue
        found = hashlib.new(file.hash.mode, path.read_bytes() if path.is_file() else b"").digest()
        if base64.urlsafe_b64encode(found).rstrip(b"=").decode() != file.hash.value:
            return path.name
    return None


def _bundled_version(root: Path) -> str:
    match = re.search(r"Release version: (\S+)", _read(root / "BAKENN_PROVENANCE.md"))
    return match[1] if match else "unknown"


def _checkout(root: Path, option: str) -> CmsisSource:
    wanted = [Path("Include") / _FUNCTIONS_HEADER, *(Path("Source") / folder for folder in _FOLDERS)]
    missing = [path.as_posix() for path in wanted if not (root / path).exists()]
    if missing:
        raise Error(
            f"{option}: {root} is not a checkout of CMSIS-NN: there is no {', '.join(missing)}",
            "give the top folder of github.com/ARM-software/CMSIS-NN, 4.0 or later",
        )
    return _source(root, _checkout_version(root), "checkout")


def _checkout_version(root: Path) -> str:
    """Releases name themselves in the pack description, other commits only to git."""
    for pack in sorted(root.glob("*.pdsc")):
        match = re.search(r'<release\s[^>]*version="([^"]+)"', _read(pack))
        if match and match[1] != "0.0.0":
            return match[1]
    if (root / ".git").exists():
        try:
            done = execute(["git", "describe", "--tags", "--always", "--dirty"], cwd=root, check=False)
        except ToolchainError:
            return "unknown"
        if done.code == 0 and done.output.strip():
            return done.output.split()[0]
    return "unknown"


def _source(root: Path, version: str, label: str) -> CmsisSource:
    include = root / "Include"
    sources = tuple(
        path
        for folder in sorted((root / "Source").iterdir())
        for path in sorted(folder.glob("*.c"))
        if not _FLOAT.search(path.stem)
    )
    declared = declarations(_read(include / _FUNCTIONS_HEADER))
    defined = {name for path in sources for name in definitions(_read(path))}
    functions = frozenset(defined & declared.keys())
    check_interface(functions, declared)
    return CmsisSource(
        version,
        label,
        (include, *_core_headers(root)),
        sources,
        functions,
        feature_defines(functions, declared),
    )


def _core_headers(root: Path) -> tuple[Path, ...]:
    """The folder of CMSIS-Core's headers, where this copy includes them."""
    math_types = root / "Include" / "arm_nn_math_types.h"
    if not math_types.is_file() or f'#include "{_CORE_HEADER}"' not in _read(math_types):
        return ()
    vendor = _vendor()
    # beside it: in CMSIS 5, and in bakenn
    places = [root / "Include", root.parent / "Core" / "Include", root.parent / "cmsis_core" / "Include"]
    places += [vendor / "cmsis_core" / "Include"] if vendor else []
    for place in places:
        if (place / _CORE_HEADER).is_file():
            return (place,)
    raise ToolchainError(
        f"this release of CMSIS-NN needs CMSIS-Core's {_CORE_HEADER}, which is not beside it",
        "pip install bakenn==1.0.0 brings it, or put CMSIS-Core into Core/Include beside the folder",
    )


def declarations(header: str) -> dict[str, int]:
    """Functions that a header declares, with their number of parameters."""
    found = re.findall(r"\b(arm_\w+)\s*\(([^();{}]*)\)\s*;", _without_comments(header))
    return {name: _count(parameters) for name, parameters in found}


def definitions(text: str) -> set[str]:
    """Functions that a source file defines."""
    return set(re.findall(r"\b(arm_\w+)\s*\([^();{}]*\)\s*\{", _without_comments(text)))


def check_interface(functions: Iterable[str], declared: Mapping[str, int]) -> None:
    """Refuse a copy whose functions take other parameters than the glue passes."""
    for name in sorted(functions):
        if name in _PARAMETERS and declared[name] not in _PARAMETERS[name]:
            known = " or ".join(map(str, _PARAMETERS[name]))
            raise Error(
                f"this CMSIS-NN declares {name} with {declared[name]} parameters, known is {known}",
                "use a release of github.com/ARM-software/CMSIS-NN between 4.0 and 2026",
            )


def feature_defines(functions: Iterable[str], declared: Mapping[str, int]) -> tuple[str, ...]:
    """What the headers of cmsis_baseline/ want to know about the interface."""
    defines = []
    if "arm_convolve_s8" in functions and declared["arm_convolve_s8"] == 12:
        defines.append("PINGPONNX_CMSIS_UPSCALE=1")
    if "arm_fully_connected_per_channel_s8" in functions:
        defines.append("PINGPONNX_CMSIS_FC_PER_CHANNEL=1")
    if "arm_vector_sum_s8" in functions:
        defines.append(f"PINGPONNX_CMSIS_VECTOR_SUM={declared['arm_vector_sum_s8']}")
    return tuple(defines)


def _count(parameters: str) -> int:
    return 0 if parameters.strip() in ("", "void") else parameters.count(",") + 1


def _without_comments(text: str) -> str:
    return re.sub(r"/\*.*?\*/|//[^\n]*", " ", text, flags=re.DOTALL)


def _read(path: Path) -> str:
    return path.read_text(encoding="utf-8", errors="replace")


# -- compiling --------------------------------------------------------------------------------------


def library(
    source: CmsisSource, target: Target, rounding: Rounding, optimisation: str = OPTIMISATION
) -> Path:
    """CMSIS-NN as a static archive for the target, from the cache if it is there and whole."""
    defines = _library_defines(target, rounding)
    key = _library_key(source, target, (optimisation, *defines))
    archive = cache_folder() / f"cmsis-nn-{target.name}-{rounding}-{key[:16]}.a"
    if _whole(archive):
        return archive
    compile_library(
        source.sources,
        target,
        archive,
        include_dirs=source.include_dirs,
        defines=defines,
        optimisation=optimisation,
    )
    write_file(_digest_file(archive), f"{key} {_content(archive)}\n".encode())
    return archive


def cache_folder() -> Path:
    """Where compiled libraries and answers are kept; PINGPONNX_CACHE overrides the user's cache folder."""
    override = os.environ.get(CACHE_VARIABLE)
    folder = Path(override) if override else platformdirs.user_cache_path("pingponnx")
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        message = f"cannot make the cache folder {folder}: {error.strerror}"
        raise Error(message, f"set {CACHE_VARIABLE} to a folder that can be written") from error
    return folder.resolve()


def _library_defines(target: Target, rounding: Rounding) -> tuple[str, ...]:
    single = ("CMSIS_NN_USE_SINGLE_ROUNDING",) if rounding is Rounding.SINGLE else ()
    return (*single, *(_HOST_DEFINES if target.is_host else ()))


def _library_key(source: CmsisSource, target: Target, options: Sequence[str]) -> str:
    """Of everything that decides the archive's content, by value: paths and dates do not matter."""
    folders = dict.fromkeys((*source.include_dirs, *(path.parent for path in source.sources)))
    headers = [path for folder in folders for path in sorted(folder.rglob("*.h"))]
    parts = [__version__, compiler_version(target), *target.flags, *options]
    files = [path.name.encode() + b"\0" + path.read_bytes() for path in (*headers, *source.sources)]
    return _digest(*(part.encode() for part in parts), *files)


def _digest(*parts: bytes) -> str:
    total = hashlib.sha256()
    for part in parts:
        total.update(len(part).to_bytes(8, "little") + part)
    return total.hexdigest()


def _digest_file(archive: Path) -> Path:
    return archive.with_suffix(".sha256")


def _content(archive: Path) -> str:
    """The digest of an archive and its call graph."""
    return _digest(archive.read_bytes(), call_graph_of(archive).read_bytes())


def _whole(archive: Path) -> bool:
    """True when it has the digest noted at its end: a killed process or a full disk leaves none."""
    try:
        noted = _digest_file(archive).read_text(encoding="utf-8").split()
        return len(noted) == 2 and noted[1] == _content(archive)
    except (OSError, UnicodeDecodeError):
        return False


# -- buffer sizes -----------------------------------------------------------------------------------


def scratch_sizes(
    queries: Sequence[ScratchQuery], source: CmsisSource, target: Target, rounding: Rounding
) -> list[int]:
    """What CMSIS-NN itself says, on that core, about the scratch bytes of every query."""
    if not queries:
        return []
    files = _probe(queries)
    glue = [path.read_bytes() for path in sorted(cmsis_baseline().glob("*.h"))]
    defines = (*source.defines, *_library_defines(target, rounding))
    key = _digest(_library_key(source, target, defines).encode(), files["probe.c"].encode(), *glue)
    answers = cache_folder() / f"scratch-{target.name}-{key[:32]}.json"
    sizes = _cached_sizes(answers, len(queries))
    if sizes is None:
        sizes = _ask(files, len(queries), source, target, rounding)
        write_file(answers, (json.dumps(sizes) + "\n").encode())
    return sizes


def _cached_sizes(path: Path, count: int) -> list[int] | None:
    try:
        sizes = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    good = isinstance(sizes, list) and len(sizes) == count
    return sizes if good and all(type(n) is int and n >= 0 for n in sizes) else None


def _ask(
    files: Mapping[str, str], count: int, source: CmsisSource, target: Target, rounding: Rounding
) -> list[int]:
    """Build the probe as if it were a model, and run it."""
    entry = Entry("probe", inputs=(), outputs=((0, 4 * count),), nodes=1)
    with temporary_folder() as folder:
        firmware = build(
            files,
            entry,
            target,
            folder,
            optimisation="-O1",
            defines=source.defines,
            include_dirs=[cmsis_baseline(), *source.include_dirs],
            libraries=[library(source, target, rounding)],
        )
        ((answer,),) = run(firmware, [()]).outputs
    sizes = list(struct.unpack(f"<{count}i", answer))
    if min(sizes) < 0:
        raise ToolchainError(f"CMSIS-NN asks for a negative buffer size: {sizes}")
    return sizes


def _probe(queries: Sequence[ScratchQuery]) -> dict[str, str]:
    """A "model" whose run writes the answers into its arena."""
    headers = sorted({query.header for query in queries})
    header = [
        "#include <stdint.h>",
        f"typedef union {{ uint8_t bytes[{4 * len(queries)}]; int32_t sizes[{len(queries)}]; }} probe_arena;",
        "int probe_run(probe_arena *arena);",
    ]
    body = [
        '#include "probe.h"',
        *(f'#include "{name}"' for name in headers),
        *(_spell(f"query_{i}", query.parameters) for i, query in enumerate(queries)),
        "int probe_run(probe_arena *arena) {",
        *(f"    arena->sizes[{i}] = {query.function}(&query_{i});" for i, query in enumerate(queries)),
        "    return 0;",
        "}",
    ]
    return {"probe.h": "\n".join(header) + "\n", "probe.c": "\n".join(body) + "\n"}


def _spell(name: str, parameters: Struct) -> str:
    values = []
    for field, value in parameters.fields.items():
        if not isinstance(value, int):
            raise Error(f"{parameters.ctype}.{field} must be an integer, not {value!r}")
        values.append(f".{field} = {value}")
    return f"static const {parameters.ctype} {name} = {{{', '.join(values)}}};"
