"""Results as Markdown tables for the documents; a figure that no file holds is not written."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from bench.forms import FORMS
from bench.results_file import Entry, Results, find
from bench.tables import MAIN_TABLES, TABLES

MISSING = "–"
NOT_MEASURED = "Not measured yet."
SHAPES = {
    "dense": "groups × size",
    "masked": "groups × size",
    "ragged": "groups × mean size",
    "unordered": "groups × mean size",
    "tokens": "groups × size × tokens",
}
TITLES = {
    "gapo": "this op",
    "gapo, string ids": "this op, string ids",
    "numpy.sort": "`numpy.sort` alone",
    "torch.compile": "`torch.compile`",
    "verl grpo": "verl `grpo`",
    "verl grpo_vectorized": "verl `grpo_vectorized`",
    "copy": "a copy",
}


def title(peer: str) -> str:
    return TITLES.get(peer, peer)


def time(microseconds: float) -> str:
    """Three digits and a unit."""
    for limit, scale, unit in ((1e3, 1, "µs"), (1e6, 1e3, "ms")):
        if microseconds < limit:
            return f"{microseconds / scale:.3g} {unit}"
    return f"{microseconds / 1e6:.3g} s"


def size(count: float) -> str:
    """Bytes in MiB, small ones in KiB."""
    return f"{count / 2**20:,.1f} MiB" if count >= 2**20 else f"{max(count, 0) / 2**10:,.0f} KiB"


def grid(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def extents(shape: Sequence[int]) -> str:
    return " × ".join(f"{extent:,}" for extent in shape)


def shapes_of(table: dict[str, Any]) -> list[list[int]]:
    return [list(shape) for shape in dict.fromkeys(tuple(case["shape"]) for case in table["cases"])]


def peers_of(table: dict[str, Any]) -> list[str]:
    return list(dict.fromkeys(case["peer"] for case in table["cases"]))


def in_threads(number: int) -> str:
    return f"{number} thread{'s' if number > 1 else ''}"


def cell(entry: Entry | None) -> str:
    return time(entry["median"]) if entry else MISSING


def fastest_peer(form: str, entries: dict[str, Entry | None]) -> float | None:
    """The least median of those who compute the same: no floor, not this op, and verl's mean counts too."""
    times = [
        entry["median"]
        for peer, entry in entries.items()
        if entry and not FORMS[form].peers[peer].floor and not peer.startswith(("gapo", "triton"))
    ]
    return min(times, default=None)


def comparison(name: str, table: dict[str, Any], threads: int, peers: Sequence[str] | None = None) -> str:
    """Medians of a table's shapes, a column for each peer, and how many times slower than this op the fastest is."""
    form = TABLES[name].form
    measured = {case["peer"] for case in table["cases"] if case["threads"] == threads}
    shown = [peer for peer in FORMS[form].peers if peer in measured and (peers is None or peer in peers)]
    rows = []
    for shape in shapes_of(table):
        entries = {peer: find(table, peer=peer, shape=shape, threads=threads) for peer in measured}
        ours, best = entries["gapo"], fastest_peer(form, entries)
        ratio = f"{best / ours['median']:.1f}×" if best and ours else MISSING
        rows.append([extents(shape), *(cell(entries[peer]) for peer in shown), ratio])
    return grid([SHAPES[name], *map(title, shown), "fastest peer / this op"], rows)


def by_threads(name: str, table: dict[str, Any]) -> str:
    """``comparison`` for every number of threads, with who was left out and where it was measured."""
    parts = []
    for threads in sorted({case["threads"] for case in table["cases"]}):
        parts += [f"{in_threads(threads)}:", comparison(name, table, threads)]
    return "\n\n".join([*parts, *footnotes(table)])


def dtypes(table: dict[str, Any]) -> str:
    kinds = list(dict.fromkeys(case["dtype"] for case in table["cases"]))
    rows = []
    for shape in shapes_of(table):
        for peer in peers_of(table):
            entries = [find(table, peer=peer, shape=shape, dtype=dtype) for dtype in kinds]
            rows.append([extents(shape), title(peer), *map(cell, entries)])
    return "\n\n".join([grid(["shape", "", *kinds], rows), *footnotes(table)])


def sweep(table: dict[str, Any]) -> str:
    """Time per reward, in nanoseconds: it shows what grows although it should not."""
    peers = peers_of(table)
    rows = []
    for shape in shapes_of(table):
        entries = [find(table, peer=peer, shape=shape) for peer in peers]
        each = [f"{one['median'] * 1e3 / shape[0] / shape[1]:.3g}" if one else MISSING for one in entries]
        rows.append([extents(shape), *each])
    header = ["shape", *(f"{title(peer)}, ns a reward" for peer in peers)]
    return "\n\n".join([grid(header, rows), *footnotes(table)])


def memory(table: dict[str, Any]) -> str:
    rows = [
        [f"`{case['form']}` {extents(case['shape'])}", title(case["peer"]), size(case["beyond"])]
        for case in table["cases"]
    ]
    return "\n\n".join([grid(["call", "", "beyond inputs and result"], rows), *footnotes(table)])


def noise(results: Results) -> str:
    """How far the medians of the turns lie apart: a difference smaller than that is none."""
    apart = []
    for name, table in results.items():
        for case in table["cases"]:
            if len(case.get("turns", ())) > 1:
                spread = (max(case["turns"]) - min(case["turns"])) / case["median"]
                apart.append((spread, f"{case['peer']}, {extents(case['shape'])}, table {name}"))
    if not apart:
        return "One turn only: the spread between turns was not measured."
    loads = [table["provenance"]["load_before"] for table in results.values()]
    apart.sort()
    half, most = apart[len(apart) // 2][0], apart[int(len(apart) * 0.9)][0]
    return (
        f"Between the turns the medians of a case lay {half:.0%} apart in the middle case and at most {most:.0%} in"
        f" nine of ten of {len(apart)} cases; the worst was {apart[-1][0]:.0%} ({apart[-1][1]}). The load average"
        f" before a table was {min(loads)} to {max(loads)}, this benchmark's own work with it."
    )


def footnotes(table: dict[str, Any]) -> list[str]:
    reasons: dict[str, list[str]] = {}
    for peer, reason in table["left_out"].items():
        reasons.setdefault(reason, []).append(title(peer))
    left = [f"Not measured: {', '.join(peers)} ({reason})." for reason, peers in reasons.items()]
    return [*left, origin(table["provenance"])]


def origin(facts: dict[str, Any]) -> str:
    """Where times come from, in one line."""
    where = f" ({facts['cpu_capability']})" if "cpu_capability" in facts else ""
    where += f", driver {facts['driver']}" if "driver" in facts else ""
    return f"Medians, {facts['device']}{where}, {versions(facts)}, {source(facts)}"


def versions(facts: dict[str, Any]) -> str:
    """Of all packages but this one, which the commit tells."""
    return ", ".join(
        f"{name} {version}" for name, version in facts["versions"].items() if version and name != "gapo-kernels"
    )


def source(facts: dict[str, Any]) -> str:
    """When, at which commit and by which command figures came to be."""
    return f"{facts['date']}, commit {short_commit(facts['commit'])}, `{facts['command']}`."


def short_commit(commit: str | None) -> str:
    """Twelve digits, and whether the files were not quite the commit's."""
    digits, dirty, _ = (commit or "unknown").partition("-dirty")
    return digits[:12] + dirty


def short(results: Results) -> str:
    """The README's: the dense op on one thread, and the largest token-level step."""
    dense, tokens = results["dense"], results["tokens"]
    shown = ("gapo", "torch", "torch.compile", "numpy", "authors' loop", "numpy.sort")
    shape = shapes_of(tokens)[-1]
    peers = ("gapo", "torch", "verl grpo_vectorized", "copy, fresh memory", "copy, warm memory")
    measured = [peer for peer in peers if find(tokens, peer=peer, shape=shape)]
    rows = [
        [str(threads), *(cell(find(tokens, peer=peer, shape=shape, threads=threads)) for peer in measured)]
        for threads in sorted({case["threads"] for case in tokens["cases"]})
    ]
    return "\n\n".join(
        [
            comparison("dense", dense, 1, shown),
            f"`token_advantage` for {shape[0]:,} groups × {shape[1]} rows × {shape[2]:,} tokens, int64 mask:",
            grid(["threads", *map(title, measured)], rows),
            f"float32, one thread in the first table. {origin(dense['provenance'])}",
        ]
    )


def gpu(results: Results) -> str:
    """Device times from a cold cache, with the share of a copy's bandwidth and the host's time a call."""
    if not results:
        return NOT_MEASURED
    parts = []
    for name in MAIN_TABLES:
        table = results.get(name, {"cases": []})
        if not table["cases"]:
            continue
        peers = peers_of(table)
        rows = []
        for shape in shapes_of(table):
            entries = {peer: find(table, peer=peer, shape=shape) for peer in peers}
            ours = entries.get("gapo")
            share = ours["traffic"] / (ours["median"] / 1e6) / table["copy_bandwidth"] if ours else None
            known = [MISSING] * 3 if ours is None else [time(ours["warm"]), time(ours["host"]), f"{share:.0%}"]
            rows.append([extents(shape), *map(cell, entries.values()), *known])
        parts += [
            grid([name, *map(title, peers), "warm L2", "host, a call", "of a copy's bandwidth"], rows),
            *footnotes(table),
        ]
    return "\n\n".join(parts)
