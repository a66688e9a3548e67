"""Runs a .tflite model on LiteRT, TensorFlow Lite's successor, with the command line of tflitepeer.c.

    litert.py [--xnnpack] MODEL THREADS [FRAMES] < frames > outputs
    litert.py [--xnnpack] --repeat N MODEL THREADS < frame > timing.json

It uses the default kernels without a delegate or, with --xnnpack, the XNNPACK delegate, which LiteRT's interpreter uses
unless told otherwise. The timing also contains the processor time of an inference, in cpu_min_ms and cpu_median_ms.

Exit status: 0 for success, 1 if the model, the input or the run fails, 2 for a wrong command line.
"""

import argparse
import json
import statistics
import sys
import time

import numpy
from ai_edge_litert.interpreter import Interpreter, OpResolverType


def main():
    parser = argparse.ArgumentParser(prog="litert")
    parser.add_argument("--xnnpack", action="store_true")
    parser.add_argument("--repeat", type=int, default=0)
    parser.add_argument("model")
    parser.add_argument("threads", type=int)
    parser.add_argument("frames", type=int, nargs="?")
    args = parser.parse_args()
    resolver = OpResolverType.BUILTIN if args.xnnpack else OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES
    try:
        interpreter = Interpreter(model_path=args.model, num_threads=args.threads, experimental_op_resolver_type=resolver)
        interpreter.allocate_tensors()
    except (ValueError, RuntimeError) as e:
        sys.exit(f"litert: cannot load {args.model}: {e}")
    inputs = [numpy.zeros(d["shape"], d["dtype"]) for d in interpreter.get_input_details()]
    data = sys.stdin.buffer.read()
    size = sum(a.nbytes for a in inputs)
    if len(data) % size:
        sys.exit(f"litert: the input has {len(data)} bytes, not a multiple of {size}")
    frames = [data[i : i + size] for i in range(0, len(data), size)]
    if args.repeat:
        fill(interpreter, inputs, frames[0] if frames else bytes(size))
        print(json.dumps({"repeat": args.repeat, "threads": args.threads, **measure(interpreter, args.repeat)}))
        return
    if args.frames not in (None, len(frames)):
        sys.exit(f"litert: the input has {len(frames)} frames for {args.model}, want {args.frames}")
    for frame in frames:
        fill(interpreter, inputs, frame)
        interpreter.invoke()
        for d in interpreter.get_output_details():
            sys.stdout.buffer.write(interpreter.get_tensor(d["index"]).tobytes())


def fill(interpreter, inputs, frame):
    """Copies the bytes of a frame into the input tensors."""
    at = 0
    for d, a in zip(interpreter.get_input_details(), inputs):
        interpreter.set_tensor(d["index"], numpy.frombuffer(frame, a.dtype, a.size, at).reshape(a.shape))
        at += a.nbytes


def measure(interpreter, repeat):
    """Returns the wall and processor times of inferences in milliseconds, after an untimed one."""
    wall, cpu = [], []
    interpreter.invoke()
    for _ in range(repeat):
        w, c = time.perf_counter(), time.process_time()
        interpreter.invoke()
        cpu.append((time.process_time() - c) * 1000)
        wall.append((time.perf_counter() - w) * 1000)
    median = statistics.median
    return {"min_ms": min(wall), "median_ms": median(wall), "cpu_min_ms": min(cpu), "cpu_median_ms": median(cpu)}


main()
