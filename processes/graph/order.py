"""The order of nodes, without recursion: graphs of thousands of nodes in line are fine."""

from __future__ import annotations

from collections.abc import Collection, Mapping


def sort_nodes(needs: Mapping[str, tuple[str, ...]]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return the nodes, each after those that it needs, and the nodes that stay because of a cycle (Kahn)."""
    open_needs = {node: len(targets) for node, targets in needs.items()}
    users: dict[str, list[str]] = {node: [] for node in needs}
    for node, targets in needs.items():
        for target in targets:
            users[target].append(node)
    ready = [node for node, count in open_needs.items() if not count]
    order: list[str] = []
    for node in ready:  # grows while it is read
        order.append(node)
        for user in users[node]:
            open_needs[user] -= 1
            if not open_needs[user]:
                ready.append(user)
    done = set(order)
    return tuple(order), tuple(node for node in needs if node not in done)


def find_cycle(needs: Mapping[str, tuple[str, ...]], left: Collection[str]) -> list[str]:
    """Return one cycle among the nodes that `sort_nodes` left over, its first node at both ends."""
    inside = set(left)
    path: list[str] = []
    seen: dict[str, int] = {}
    node = next(iter(left))
    while node not in seen:
        seen[node] = len(path)
        path.append(node)
        node = next(target for target in needs[node] if target in inside)
    return [*path[seen[node] :], node]
