"""The outputs of an object detector."""

from typing import Any, Callable, Dict, List, NamedTuple, Tuple

from . import common


class BBox(NamedTuple):
    """A box around an object, from the left, top to the right, bottom edge."""
    xmin: float
    ymin: float
    xmax: float
    ymax: float

    @property
    def width(self) -> float:
        """The width, which is negative if the box is not valid."""
        return self.xmax - self.xmin

    @property
    def height(self) -> float:
        """The height, which is negative if the box is not valid."""
        return self.ymax - self.ymin

    @property
    def area(self) -> float:
        """Width times height."""
        return self.width * self.height

    @property
    def valid(self) -> bool:
        """Whether neither width nor height is negative."""
        return min(self.width, self.height) >= 0

    def scale(self, sx: float, sy: float) -> 'BBox':
        """Return the box with x multiplied by sx, and y by sy."""
        return BBox(self.xmin * sx, self.ymin * sy, self.xmax * sx, self.ymax * sy)

    def translate(self, dx: float, dy: float) -> 'BBox':
        """Return the box moved by dx and dy."""
        return BBox(self.xmin + dx, self.ymin + dy, self.xmax + dx, self.ymax + dy)

    def map(self, f: Callable[[float], float]) -> 'BBox':
        """Return the box with f applied to each coordinate, such as int."""
        return BBox(*[f(v) for v in self])

    @staticmethod
    def intersect(a: 'BBox', b: 'BBox') -> 'BBox':
        """Return the common part of two boxes, which is not valid if they have none."""
        return BBox(max(a[0], b[0]), max(a[1], b[1]), min(a[2], b[2]), min(a[3], b[3]))

    @staticmethod
    def union(a: 'BBox', b: 'BBox') -> 'BBox':
        """Return the smallest box that contains two boxes."""
        return BBox(min(a[0], b[0]), min(a[1], b[1]), max(a[2], b[2]), max(a[3], b[3]))

    @staticmethod
    def iou(a: 'BBox', b: 'BBox') -> float:
        """Return the area of the common part of two boxes, divided by the area that both cover together."""
        common_part = BBox.intersect(a, b)
        if not common_part.valid:
            return 0.0
        return common_part.area / (a.area + b.area - common_part.area)


class Object(NamedTuple):
    """A detected object."""
    id: int
    score: float
    bbox: BBox


def _outputs(interpreter: Any) -> Dict[str, Any]:
    """Return the outputs of a detector by what they contain.

    Models converted from TensorFlow 2 name them in their signature. The others have one of two orders, which differ in
    where the number of objects is.
    """
    signatures = interpreter._get_full_signature_list()
    if len(signatures) > 1:
        raise ValueError(f'a detector has at most one signature, but this model has {len(signatures)}')
    for signature in signatures.values():
        named = signature['outputs']
        order = [named[f'output_{i}'] for i in range(4)]
        return dict(zip(('count', 'scores', 'ids', 'boxes'), [interpreter.tensor(t)() for t in order]))
    tensors = [common.output_tensor(interpreter, i) for i in range(4)]
    names = ('boxes', 'ids', 'scores', 'count') if tensors[3].size == 1 else ('scores', 'boxes', 'count', 'ids')
    return dict(zip(names, tensors))


def get_objects(interpreter: Any, score_threshold: float = -float('inf'),
                image_scale: Tuple[float, float] = (1.0, 1.0)) -> List[Object]:
    """Return the detected objects with scores of at least score_threshold.

    image_scale is the scale that set_resized_input has returned. The boxes are in pixels of the image before it was resized.
    """
    out = _outputs(interpreter)
    width, height = common.input_size(interpreter)
    sx, sy = width / image_scale[0], height / image_scale[1]
    objects = []
    for i, score in enumerate(out['scores'][0]):
        if score >= score_threshold:
            top, left, bottom, right = out['boxes'][0][i]
            objects.append(Object(int(out['ids'][0][i]), float(score), BBox(left, top, right, bottom).scale(sx, sy).map(int)))
    return objects
