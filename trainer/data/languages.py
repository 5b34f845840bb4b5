"""Which programming language a file is in, by its extension."""

from __future__ import annotations

import re
from pathlib import PurePosixPath

EXTENSIONS: dict[str, tuple[str, ...]] = {
    "c": (".c",),
    "clojure": (".clj", ".cljs", ".cljc"),
    "cpp": (
        ".cc",
        ".cpp",
        ".cxx",
        ".c++",
        ".h",
        ".hh",
        ".hpp",
        ".hxx",
        ".inl",
        ".ipp",
    ),  # .h: C's headers are read as C++
    "csharp": (".cs",),
    "cuda": (".cu", ".cuh"),
    "dart": (".dart",),
    "elixir": (".ex", ".exs"),
    "erlang": (".erl", ".hrl"),
    "fortran": (".f", ".f90", ".f95", ".f03", ".f08"),
    "fsharp": (".fs", ".fsx"),
    "go": (".go",),
    "groovy": (".groovy", ".gradle"),
    "haskell": (".hs",),
    "java": (".java",),
    "javascript": (".js", ".jsx", ".mjs", ".cjs"),
    "julia": (".jl",),
    "kotlin": (".kt", ".kts"),
    "lua": (".lua",),
    "objective-c": (".m", ".mm"),
    "ocaml": (".ml", ".mli"),
    "perl": (".pl", ".pm", ".t"),
    "php": (".php",),
    "python": (".py", ".pyi"),
    "r": (".r",),
    "ruby": (".rb", ".rake"),
    "rust": (".rs",),
    "scala": (".scala", ".sc"),
    "shell": (".sh", ".bash", ".zsh", ".ksh"),
    "swift": (".swift",),
    "typescript": (".ts", ".tsx", ".mts", ".cts"),
    "zig": (".zig",),
}

# Extensions that others use too, and how to tell by the content: what must be there, or must not. No pattern looks for
# the first word beyond its line: many blank ones would be passed once from each of them.
_MUST_HAVE = {
    ".m": re.compile(rb"^[^\S\n]*(?:#\s*(?:import|include)|@(?:interface|implementation|protocol|class))\b", re.M),
    ".f": re.compile(rb"^[^\S\n]*(?:end\s+)?(?:program|module|subroutine|function)\b", re.M | re.I),  # or Forth
    ".t": re.compile(rb"\A#!.*\bperl\b|^[^\S\n]*use [\w:.][^\n]*;", re.M),  # tests; or another's templates
}
_MUST_NOT_HAVE = {
    ".ts": re.compile(rb"\A(?:\xef\xbb\xbf)?\s*<(?:\?xml|!DOCTYPE)"),  # Qt's translations
    ".fs": re.compile(rb"^[^\S\n]*#version\s|\bvoid\s+main\s*\(|\bgl_Frag", re.M),  # fragment shaders
    ".pl": re.compile(rb"^:-\s", re.M),  # Prolog
}

_TEMPLATE = ".blade.php"  # Blade's are HTML, with hardly a line of PHP

_LANGUAGE_OF = {extension: language for language, extensions in EXTENSIONS.items() for extension in extensions}


def language_of(path: str) -> str | None:
    """The language of the file at ``path``, or None where it is no source file that is known here."""
    path = path.lower()
    return None if path.endswith(_TEMPLATE) else _LANGUAGE_OF.get(PurePosixPath(path).suffix)


def is_written_in(path: str, data: bytes) -> bool:
    """Whether the content of the file at ``path`` may be in the language that its extension stands for.

    MATLAB's ``.m`` is no Objective-C, and ``.ts`` is also what Qt's translations, which are XML, are called.
    """
    suffix = PurePosixPath(path).suffix.lower()
    if suffix in _MUST_HAVE:
        return _MUST_HAVE[suffix].search(data) is not None
    return suffix not in _MUST_NOT_HAVE or _MUST_NOT_HAVE[suffix].search(data) is None
