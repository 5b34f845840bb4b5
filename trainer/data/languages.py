"""Which programming language a file is in, by its extension."""

from __future__ import annotations

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
    "perl": (".pl", ".pm"),
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

_LANGUAGE_OF = {extension: language for language, extensions in EXTENSIONS.items() for extension in extensions}


def language_of(path: str) -> str | None:
    """The language of the file at ``path``, or None where it is no source file that is known here."""
    return _LANGUAGE_OF.get(PurePosixPath(path).suffix.lower())
