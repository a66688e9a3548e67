// The boxes of objects, drawn over the picture. Tapping one chooses the object to train.

// lay lays an element over the part of a picture that shows the photo.
export function lay(element, { naturalWidth: w, naturalHeight: h, clientWidth, clientHeight, offsetLeft, offsetTop }) {
  const scale = w && h ? Math.min(clientWidth / w, clientHeight / h) : 0;
  Object.assign(element.style, {
    width: `${w * scale}px`, height: `${h * scale}px`,
    left: `${offsetLeft + (clientWidth - w * scale) / 2}px`, top: `${offsetTop + (clientHeight - h * scale) / 2}px`,
  });
}

// put puts a child of such an element where a box from 0 to 1 is.
export function put(child, [x0, y0, x1, y1]) {
  Object.assign(child.style, { left: `${100 * x0}%`, top: `${100 * y0}%`, width: `${100 * (x1 - x0)}%`, height: `${100 * (y1 - y0)}%` });
}

// Boxes draws into element, which lies over the picture.
export class Boxes {
  constructor(element, picture) {
    this.element = element;
    this.picture = picture;
    this.point = null; // the center of the chosen object, or null for the largest
    new ResizeObserver(() => this.place()).observe(picture);
    picture.addEventListener("load", () => this.place());
  }

  // at returns the center of the chosen object, or undefined for the largest.
  at() { return this.point ?? undefined; }

  place() { lay(this.element, this.picture); }

  // show draws the boxes of a result; there are none without a detector.
  show(boxes) {
    this.place();
    const chosen = this.follow(boxes);
    const old = [...this.element.children];
    old.slice(boxes.length).forEach((b) => b.remove());
    boxes.forEach((b, i) => {
      const button = old[i] ?? this.element.appendChild(this.button());
      put(button, b.box);
      const text = b.label ? `${b.label} ${Math.round(b.score * 100)} %` : b.object;
      if (button.firstChild.textContent !== text) button.firstChild.textContent = text;
      button.title = `${b.object} ${Math.round(b.object_score * 100)} %`;
      button.center = center(b.box);
      button.setAttribute("aria-pressed", b === chosen);
    });
  }

  // follow returns the object to train: the one closest to the chosen point, which it moves there, or
  // the largest.
  follow(boxes) {
    if (boxes.length === 0) return null;
    if (!this.point) return boxes.reduce((a, b) => (area(b.box) > area(a.box) ? b : a));
    const far = (b) => Math.hypot(center(b.box)[0] - this.point[0], center(b.box)[1] - this.point[1]);
    const chosen = boxes.reduce((a, b) => (far(b) < far(a) ? b : a));
    this.point = center(chosen.box);
    return chosen;
  }

  // button makes a box. Tapping the chosen one again goes back to the largest.
  button() {
    const b = Object.assign(document.createElement("button"), { type: "button", className: "box" });
    b.append(document.createElement("span"));
    b.addEventListener("click", () => {
      const again = this.point && b.getAttribute("aria-pressed") === "true";
      this.point = again ? null : b.center;
      for (const other of this.element.children) other.setAttribute("aria-pressed", !again && other === b);
    });
    return b;
  }
}

const center = ([x0, y0, x1, y1]) => [(x0 + x1) / 2, (y0 + y1) / 2];
const area = ([x0, y0, x1, y1]) => (x1 - x0) * (y1 - y0);
