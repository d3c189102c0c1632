"""What writes ONNX nodes that stand for another ONNX node."""

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import onnx
from onnx import numpy_helper


@dataclass(slots=True)
class Writer:
    """Collects the nodes that take the place of `node`; names come from it and its first output."""

    node: onnx.NodeProto
    nodes: list[onnx.NodeProto] = field(default_factory=list, kw_only=True)

    def input(self, index: int) -> str:
        """The name of an input, "" when it is left out."""
        return self.node.input[index] if index < len(self.node.input) else ""

    def attribute(self, name: str, default: Any = None) -> Any:
        found = [a for a in self.node.attribute if a.name == name]
        return onnx.helper.get_attribute_value(found[0]) if found else default

    def add(self, op_type: str, *inputs: str, output: str = "", **attributes: Any) -> str:
        """A node; returns the name of its output."""
        name = output or f"{next(n for n in self.node.output if n)}@{len(self.nodes)}"
        title = f"{self.node.name or self.node.op_type}/{op_type}"
        self.nodes.append(onnx.helper.make_node(op_type, list(inputs), [name], name=title, **attributes))
        return name

    def constant(self, value: Any, dtype: Any) -> str:
        return self.add("Constant", value=numpy_helper.from_array(np.asarray(value, dtype)))

    def reshaped(self, name: str, shape: tuple[int, ...]) -> str:
        return self.add("Reshape", name, self.constant(shape, np.int64))
