"""What ONNX Runtime says of a network: the shape of every value."""

from __future__ import annotations

import numpy as np
import onnx
import onnxruntime as ort

NUMPY = {1: np.float32, 6: np.int32, 7: np.int64, 9: np.bool_, 10: np.float16}


def session(proto):
    options = ort.SessionOptions()
    options.log_severity_level = 4
    options.intra_op_num_threads = 1
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    providers = ["CPUExecutionProvider"]
    return ort.InferenceSession(proto.SerializeToString(), options, providers=providers)


def feeds(proto, batch=1):
    """Small numbers for every graph input."""
    constants = {tensor.name for tensor in proto.graph.initializer}
    found = {}
    for value in proto.graph.input:
        if value.name in constants:
            continue
        kind = value.type.tensor_type
        shape = [d.dim_value or batch for d in kind.shape.dim]
        count = int(np.prod(shape))
        numbers = np.arange(count).reshape(shape) % 3
        found[value.name] = numbers.astype(NUMPY[kind.elem_type])
    return found


def runtime_shapes(proto, batch=1):
    """Value -> shape, of every output of every node."""
    probe = onnx.ModelProto.FromString(proto.SerializeToString())
    declared = {value.name for value in probe.graph.output}
    for node in probe.graph.node:
        for name in node.output:
            if name and name not in declared:
                probe.graph.output.append(onnx.ValueInfoProto(name=name))
                declared.add(name)
    runner = session(probe)
    names = [value.name for value in runner.get_outputs()]
    results = runner.run(names, feeds(proto, batch))
    return {name: np.shape(result) for name, result in zip(names, results, strict=True)}


def agree(workload, shapes):
    """Every tensor that the runtime knows too has the shape that it has there."""
    known = [name for name in workload.tensors if name in shapes]
    wrong = {
        name: (workload.tensors[name].shape, shapes[name])
        for name in known
        if workload.tensors[name].elements != int(np.prod(shapes[name]))
    }
    assert known
    assert not wrong
    return len(known)
