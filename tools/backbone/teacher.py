"""Reads the frozen teacher from its TensorFlow Lite file.

The teacher is Coral's mobilenet_v1_0.25_128_quant. Its weights are dequantized, and student.cc computes the
network in float32, so the teacher's outputs are not rounded. Training uses the output of the last layer
before the average pool, and the 1001 class scores that the last convolution computes from the pooled embedding. The
student gets no other outputs and no weights.
"""

import os

import numpy as np
from ai_edge_litert.interpreter import Interpreter, OpResolverType

MODEL = "mobilenet_v1_0.25_128_quant.tflite"


def read(folder):
    """Returns the weights and the factors and offsets (bn) that Passes.forward takes, the class weights
    [256, 1001] and their bias."""
    resolver = OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES
    it = Interpreter(os.path.join(folder, MODEL), experimental_op_resolver_type=resolver)
    it.allocate_tensors()
    details = {d["index"]: d for d in it.get_tensor_details()}

    def real(index):
        scale, zero = details[index]["quantization"]
        return ((it.get_tensor(index).astype(np.float64) - zero) * scale).astype(np.float32)

    weights, bias = [], []
    for op in it._get_ops_details():
        if op["op_name"] in ("CONV_2D", "DEPTHWISE_CONV_2D"):
            # TensorFlow Lite stores [out, h, w, in] and [1, h, w, channels].
            weights.append(real(op["inputs"][1]).transpose(1, 2, 3, 0))
            bias.append(real(op["inputs"][2]))
    scores, scores_bias = weights.pop().reshape(256, 1001), bias.pop()
    bias = np.concatenate(bias)
    return np.concatenate([w.ravel() for w in weights]), np.concatenate([np.ones_like(bias), bias]), np.ascontiguousarray(scores), scores_bias
