"""Reads the frozen teacher out of its TensorFlow Lite file and runs it in float.

The teacher is Coral's mobilenet_v1_1.0_224_quant embedding extractor. Its quantised weights are
turned back into reals, and the network is computed in float32 on batches, which is several times
faster here than the quantised kernels and gives the embedding without their rounding. The file
mobilenet_quant_v1_224_head_layers.tflite is the last layer of the same network: 1001 class scores
as a linear function of the embedding.
"""

import numpy as np
import tensorflow as tf

EXTRACTOR = "mobilenet_v1_1.0_224_quant_embedding_extractor.tflite"
HEAD = "mobilenet_quant_v1_224_head_layers.tflite"
# The range of every activation of these networks is 0 to 6 less a little; 255 steps of this scale.
ACTIVATION_SCALE = 0.023528477177023888


def _open(path):
    resolver = tf.lite.experimental.OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES
    it = tf.lite.Interpreter(path, experimental_op_resolver_type=resolver)
    it.allocate_tensors()
    return it, {d["index"]: d for d in it.get_tensor_details()}


def _real(it, details, index):
    q = it.get_tensor(index)
    scale, zero = details[index]["quantization"]
    return ((q.astype(np.float64) - zero) * scale).astype(np.float32)


class Teacher:
    """Embeds batches of photos, float32 in −1…1, shape [n, 224, 224, 3]."""

    def __init__(self, folder):
        it, details = _open(folder + "/" + EXTRACTOR)
        self.layers = []
        for op in it._get_ops_details():
            if op["op_name"] not in ("CONV_2D", "DEPTHWISE_CONV_2D"):
                continue
            x, w, b = op["inputs"]
            y = op["outputs"][0]
            stride = int(details[x]["shape"][1] // details[y]["shape"][1])
            w, b = _real(it, details, w), _real(it, details, b)
            # TensorFlow Lite keeps [out, h, w, in] and [1, h, w, channels].
            w = w.transpose(1, 2, 3, 0)
            self.layers.append((op["op_name"], stride, tf.constant(w), tf.constant(b)))
        it, details = _open(folder + "/" + HEAD)
        op = it._get_ops_details()[0]
        self.head = _real(it, details, op["inputs"][1]).reshape(1001, 1024).T.copy()
        self.head_bias = _real(it, details, op["inputs"][2])

    @tf.function(reduce_retracing=True)
    def embed(self, x):
        for kind, stride, w, b in self.layers:
            if kind == "CONV_2D":
                x = tf.nn.conv2d(x, w, stride, "SAME")
            else:
                x = tf.nn.depthwise_conv2d(x, w, [1, stride, stride, 1], "SAME")
            x = tf.nn.relu6(tf.nn.bias_add(x, b))
        return tf.reduce_mean(x, (1, 2))


def quantised(embedding):
    """Rounds an embedding to the teacher's own 256 steps."""
    return np.clip(np.round(embedding / ACTIVATION_SCALE), 0, 255).astype(np.uint8)
