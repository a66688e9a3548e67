"""Computes the embeddings of the strong teacher for all photos of a store.

    python strong.py --photos STORE --models FOLDER

The strong teacher is Coral's tf2_mobilenet_v2_1.0_224_ptq. It sees the central square of each photo, once.
NAME.strong.npy receives the 1280 values before the last layer of each photo, as the model computes them (uint8 or
int8). train.py reads the files.
"""

import argparse
import os
from pathlib import Path

import numpy as np
from ai_edge_litert import schema_py_generated as schema
from ai_edge_litert.interpreter import Interpreter
from PIL import Image
import flatbuffers

MODEL = "tf2_mobilenet_v2_1.0_224_ptq.tflite"


def cut(path):
    """Returns the model with the input of its last convolution as its output."""
    model = schema.ModelT.InitFromObj(schema.Model.GetRootAs(Path(path).read_bytes()))
    graph, kinds = model.subgraphs[0], [c.builtinCode for c in model.operatorCodes]
    convolutions = [i for i, op in enumerate(graph.operators) if kinds[op.opcodeIndex] == schema.BuiltinOperator.CONV_2D]
    last = convolutions[-1]
    graph.outputs = [graph.operators[last].inputs[0]]
    graph.operators = graph.operators[:last]
    model.signatureDefs = None
    builder = flatbuffers.Builder()
    builder.Finish(model.Pack(builder), b"TFL3")
    return bytes(builder.Output())


def main():
    arg = argparse.ArgumentParser()
    arg.add_argument("--photos", required=True)
    arg.add_argument("--models", required=True)
    a = arg.parse_args()
    it = Interpreter(model_content=cut(os.path.join(a.models, MODEL)), num_threads=1)
    it.allocate_tensors()
    source, to = it.get_input_details()[0]["index"], it.get_output_details()[0]
    for index in sorted(Path(a.photos).glob("*.npy"), key=lambda p: p.stat().st_size):
        out = index.with_suffix(".strong.npy")
        if index.name.endswith(".strong.npy") or out.exists():
            continue
        at, pixels = np.load(index), np.memmap(index.with_suffix(".u8"), np.uint8)
        found = np.empty((len(at), to["shape"].prod()), to["dtype"])
        for i, (start, height, width) in enumerate(at):
            photo, side = pixels[start : start + height * width * 3].reshape(height, width, 3), min(height, width)
            top, left = (height - side) // 2, (width - side) // 2
            square = Image.fromarray(photo[top : top + side, left : left + side])
            it.set_tensor(source, np.asarray(square.resize((224, 224), Image.Resampling.BILINEAR))[None])
            it.invoke()
            found[i] = it.get_tensor(to["index"]).ravel()
        np.save(out, found)
        print(out.name, found.shape, to["quantization"], flush=True)


if __name__ == "__main__":
    main()
