"""The rooms of the project and the arrows between them: `PYTHONPATH=.:tests/support python -m helpers.rooms`.

A room is a folder of modules, or a lone module of `calig_fast`; the folders of the operations are one room. An arrow
goes from a room to a room that a module of it imports. The `__init__.py` of `calig_fast` and of `calig_fast.ops` are
entrances that import what they offer: their own imports are no arrows.
"""

from __future__ import annotations

from collections.abc import Iterator

import grimp

ROOTS = ("calig_fast", "benchmarks", "tools")
ENTRANCES = ("calig_fast", "calig_fast.ops")
Arrow = tuple[str, str]


def room_of(module: str, folders: frozenset[str]) -> str:
    """The room of a module."""
    room = module if module in folders else module.rpartition(".")[0]
    if room == "calig_fast":
        return module
    inside_ops = room.startswith("calig_fast.ops.") and room != "calig_fast.ops.backend"
    return "calig_fast.ops.<op>" if inside_ops else room


def plan() -> tuple[set[str], set[Arrow]]:
    """The rooms, and the arrows between them."""
    graph = grimp.build_graph(*ROOTS, cache_dir=None)
    folders = frozenset(module for module in graph.modules if graph.find_children(module)) | set(ROOTS)
    inside = graph.modules - {"calig_fast", "tools"}  # the first is the entrance, the second is empty
    rooms = {module: room_of(module, folders) for module in inside}
    arrows = {
        (rooms[module], rooms[imported])
        for module in inside - set(ENTRANCES)
        for imported in graph.find_modules_directly_imported_by(module) & inside
    }
    return set(rooms.values()), {(a, b) for a, b in arrows if a != b}


def cycles(rooms: set[str], arrows: set[Arrow]) -> set[str]:
    """The rooms that lie on a cycle, and those between two cycles."""
    left = set(rooms)
    while ends := {r for r in left for side in (0, 1) if not any(r == a[side] and a[1 - side] in left for a in arrows)}:
        left -= ends
    return left


def lines() -> Iterator[str]:
    """A line for each room, and the sums."""
    rooms, arrows = plan()
    for room in sorted(rooms):
        yield f"{room}: {', '.join(sorted(b for a, b in arrows if a == room)) or '-'}"
    yield f"{len(rooms)} rooms, {len(arrows)} arrows, on cycles: {sorted(cycles(rooms, arrows)) or 'none'}"


if __name__ == "__main__":
    print("\n".join(lines()))
