"""Where execution can go from a Thumb instruction, and the loops that this makes."""

from collections.abc import Callable, Iterable, Mapping, Sequence


def size(first: int) -> int:
    """Bytes of an instruction, from its first halfword."""
    return 2 if first < 0xE800 else 4


def successors(address: int, first: int, second: int, previous: int) -> tuple[int, ...]:
    """Addresses in the same function that may be executed next; calls are taken to return.

    The instruction's halfwords, and the one before it: after an IT, also a return may not happen. What
    jumps through a table or a register goes nowhere that is known.
    """
    following = address + size(first)
    targets = _narrow(address, first) if size(first) == 2 else _wide(address, first, second)
    if targets is None:
        return (following,)
    conditional = previous & 0xFF00 == 0xBF00 and previous & 0xF
    return (*targets, following) if conditional else targets


def _narrow(address: int, code: int) -> tuple[int, ...] | None:
    """None for anything that is not a branch; calls are not."""
    if code & 0xF000 == 0xD000 and code & 0x0F00 < 0x0E00:  # B<c>
        return address + 2, address + 4 + _signed(code & 0xFF, 8) * 2
    if code & 0xF800 == 0xE000:  # B
        return (address + 4 + _signed(code & 0x7FF, 11) * 2,)
    if code & 0xF500 == 0xB100:  # CBZ, CBNZ
        return address + 2, address + 4 + ((code >> 3 & 0x40) | (code >> 2 & 0x3E))
    if code & 0xFF80 == 0x4700 or code & 0xFF00 == 0xBD00 or code & 0xFF87 == 0x4687:
        return ()  # BX, POP {pc}, MOV pc
    return None


def _wide(address: int, first: int, second: int) -> tuple[int, ...] | None:
    """None for anything that is not a branch; calls are not."""
    if first & 0xF800 == 0xF000 and second & 0x8000:
        return _wide_branch(address, first, second)
    table = first & 0xFFF0 == 0xE8D0 and second & 0xFFE0 == 0xF000  # TBB, TBH
    load = first & 0xFF70 == 0xF850 and second >> 12 == 15  # LDR pc
    multiple = first & 0xFFD0 in (0xE890, 0xE910) and second & 0x8000  # LDM, POP with pc
    return () if table or load or multiple else None


def _wide_branch(address: int, first: int, second: int) -> tuple[int, ...] | None:
    if second & 0xD000 == 0x9000:  # B
        return (_far_target(address, first, second),)
    if second & 0xD000 == 0x8000 and first & 0x0380 != 0x0380:  # B<c>
        high = (first >> 10 & 1) << 19 | (second >> 11 & 1) << 18 | (second >> 13 & 1) << 17
        offset = _signed(high | (first & 0x3F) << 11 | (second & 0x7FF), 20) * 2
        return address + 4, address + 4 + offset
    if second & 0xF001 == 0xC001:  # the loop instructions of v8.1-M: LE, LETP backwards, WLS, WLSTP forwards
        offset = (second & 0x7FE) << 1 | (second >> 10 & 2)
        return address + 4, address + 4 + (-offset if first & 0xF == 0xF else offset)
    return None


def call_target(address: int, first: int, second: int) -> int | None:
    """Where a BL goes, None for other instructions. Compilers also use it to jump far within a function."""
    if first & 0xF800 != 0xF000 or second & 0xD000 != 0xD000:
        return None
    return _far_target(address, first, second)


def _far_target(address: int, first: int, second: int) -> int:
    """Of B and BL: the offset's bits 23 and 22 are coded by its sign."""
    sign = first >> 10 & 1
    i1, i2 = (second >> 13 & 1) ^ sign ^ 1, (second >> 11 & 1) ^ sign ^ 1
    high = sign << 23 | i1 << 22 | i2 << 21
    return address + 4 + _signed(high | (first & 0x3FF) << 11 | (second & 0x7FF), 24) * 2


def _signed(value: int, bits: int) -> int:
    return value - (value >> (bits - 1) << bits)


def reachable(entry: int, halfwords: Mapping[int, int]) -> dict[int, tuple[int, ...]]:
    """Instructions that can be reached from the entry, and their successors, all among the halfwords."""
    found: dict[int, tuple[int, ...]] = {}
    waiting = [entry]
    while waiting:
        address = waiting.pop()
        if address in found or address not in halfwords:
            continue
        first, second = halfwords[address], halfwords.get(address + 2, 0)
        previous = halfwords[address - 2] if address - 2 in found else 0  # an instruction, not half of one
        after = successors(address, first, second, previous)
        called = call_target(address, first, second)
        if called is not None and called in halfwords:  # a jump: no function calls a part of itself
            after = (called,)
        found[address] = tuple(a for a in after if a in halfwords)
        waiting += found[address]
    return found


def loops(graph: Mapping[int, Sequence[int]]) -> list[list[int]]:
    """The outermost loops: strongly connected parts of more than one instruction, or of one that repeats."""
    order = _postorder(graph, graph, graph.__getitem__)
    backwards: dict[int, list[int]] = {address: [] for address in graph}
    for address, after in graph.items():
        for successor in after:
            backwards[successor].append(address)
    found, seen = [], set[int]()
    for address in reversed(order):
        part = _postorder(backwards, [address], lambda a: [b for b in backwards[a] if b not in seen])
        part = [a for a in part if a not in seen]
        seen.update(part)
        if len(part) > 1 or any(a in graph[a] for a in part):
            found.append(part)
    return found


def _postorder(
    graph: Mapping[int, Sequence[int]], roots: Iterable[int], after: Callable[[int], Sequence[int]]
) -> list[int]:
    """Every address that the roots lead to, after those that it leads to itself."""
    order: list[int] = []
    seen: set[int] = set()
    for root in roots:
        stack = [(root, iter(after(root)))] if root not in seen and root in graph else []
        seen.add(root)
        while stack:
            address, rest = stack[-1]
            successor = next((a for a in rest if a not in seen), None)
            if successor is None:
                stack.pop()
                order.append(address)
            else:
                seen.add(successor)
                stack.append((successor, iter(after(successor))))
    return order
