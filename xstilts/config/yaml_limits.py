"""YAML of others, read within limits: nesting, and all that its aliases stand for.

Nine lines of aliases may stand for a billion values, and what is nested without end ends Python's
stack. A text within the limits is what `yaml.SafeLoader` reads.
"""

from __future__ import annotations

from typing import Any

import yaml

MAX_DEPTH = 50
"""How deep values may lie in one another; sweep files need six, headers of data sets ten."""

MAX_EXPANDED = 8 * 2**20
"""Characters and values that a text may have once every alias is what it stands for."""


class BeyondLimit(yaml.MarkedYAMLError):
    """A text stands for too much, or is nested too deep; `problem` says what it has."""


class LimitedLoader(yaml.SafeLoader):
    """Safe YAML within the limits."""

    def __init__(self, stream: Any):
        super().__init__(stream)
        self._depth = 0

    def compose_node(self, parent: yaml.Node | None, index: Any) -> yaml.Node | None:
        """Every value is composed within what holds it."""
        if self._depth == MAX_DEPTH:
            raise _too_deep(self.peek_event().start_mark)  # type: ignore[no-untyped-call]
        self._depth += 1
        try:
            node: yaml.Node | None = super().compose_node(parent, index)
        finally:
            self._depth -= 1
        return node

    def get_single_node(self) -> yaml.Node | None:
        """The whole text, before anything is made of it."""
        node: yaml.Node | None = super().get_single_node()
        if node is not None:
            _measure(node, {})
        return node


def read_yaml(text: str, loader: type[LimitedLoader] = LimitedLoader) -> Any:
    """What a YAML text says.

    Raises:
        BeyondLimit: it is nested too deep, or its aliases stand for too much.
        yaml.YAMLError: it is no YAML, or a value is none, as a date in month 13.
    """
    try:
        return yaml.load(text, Loader=loader)
    except (ValueError, OverflowError) as error:  # of int, float and datetime
        raise yaml.YAMLError(str(error)) from error


def _measure(node: yaml.Node, known: dict[int, tuple[int, int] | None]) -> tuple[int, int]:
    """The size and depth of what a node stands for; an alias is the node that it names."""
    if id(node) in known:
        found = known[id(node)]
        if found is None:
            raise BeyondLimit(None, None, "an alias within what it names", node.start_mark)
        return found
    known[id(node)] = None
    size, depth = 1, 0
    if isinstance(node, yaml.ScalarNode):
        size += len(node.value)
    else:
        for part in node.value:
            for child in part if isinstance(part, tuple) else (part,):
                below, deep = _measure(child, known)
                size, depth = size + below, max(depth, deep)
    depth += 1
    if depth > MAX_DEPTH:
        raise _too_deep(node.start_mark)
    if size > MAX_EXPANDED:
        problem = f"aliases that stand for more than {MAX_EXPANDED} characters"
        raise BeyondLimit(None, None, problem, node.start_mark)
    known[id(node)] = size, depth
    return size, depth


def _too_deep(mark: Any) -> BeyondLimit:
    return BeyondLimit(None, None, f"values nested deeper than {MAX_DEPTH}", mark)
