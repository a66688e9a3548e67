// The regions of the picture: boxes on it that can be moved, and their states below it.
import { ask } from "./api.js";
import { lay, put } from "./boxes.js";
import { make, question } from "./classes.js";
import { settingsOf } from "./settings.js";

const step = 0.01; // how far an arrow key moves an edge
const least = 0.02; // smallest width and height
const saveAfter = 400; // milliseconds after the last change of a box

export class Regions {
  // picture is the image, layer lies on it, list shows the states, and choice offers them for training.
  constructor({ picture, layer, list, choice, add, told }) {
    Object.assign(this, { picture, layer, list, choice, told });
    this.views = new Map();
    add.addEventListener("click", () => this.act(async () => {
      const name = await question("Name of the region, such as door", "Add", "");
      if (this.views.has(name)) throw new Error(`There is a region ${name} already.`);
      if (name) await ask("PUT", this.path(name), { box: [0.3, 0.3, 0.7, 0.7] });
    }));
    new ResizeObserver(() => lay(layer, picture)).observe(picture);
    picture.addEventListener("load", () => lay(layer, picture));
  }

  path(name) { return "/v1/regions/" + encodeURIComponent(name); }

  async act(work) {
    try { await work(); } catch (e) { this.told(e.message); }
  }

  show(regions) {
    const names = new Set(regions.map((r) => r.name));
    for (const [name, view] of this.views) {
      if (names.has(name)) continue;
      for (const e of [view.box, view.row, view.option]) e.remove();
      this.views.delete(name);
    }
    for (const r of regions) {
      let view = this.views.get(r.name);
      if (!view) {
        this.views.set(r.name, view = this.view(r.name));
        this.layer.append(view.box);
        this.list.append(view.row);
        this.choice.append(view.option);
      }
      view.show(r);
    }
    this.list.parentElement.hidden = regions.length === 0;
    lay(this.layer, this.picture);
  }

  // view makes the box, the row and the option of a region.
  view(name) {
    let edges = null, timer = 0, grip = null;
    const state = make("span");
    const title = make("span");
    const box = make("button", { type: "button", className: "part" }, title);
    box.setAttribute("aria-description", "Region: arrow keys move it, with Shift they resize it");
    const settings = settingsOf(name, {
      save: async (settings) => {
        this.show((await ask("PUT", this.path(name), settings)).regions);
        if (settings.name !== name) this.views.get(settings.name)?.row.querySelector("button").focus();
      },
      remove: () => this.act(async () => {
        if (await question(`Remove the region ${name}?`, "Remove")) await ask("DELETE", this.path(name));
      }),
    });
    const row = make("li", {}, make("div", { className: "row" }, make("strong", { textContent: name }), state, settings.button), settings.form);
    // change moves the box, or only its right and bottom edges, and saves it a little later.
    const change = (dx, dy, resize) => {
      const between = (v, low, high) => Math.min(Math.max(v, low), high);
      const [x0, y0, x1, y1] = edges;
      if (resize) {
        edges = [x0, y0, between(x1 + dx, Math.min(x0 + least, 1), 1), between(y1 + dy, Math.min(y0 + least, 1), 1)];
      } else {
        dx = between(dx, -x0, 1 - x1);
        dy = between(dy, -y0, 1 - y1);
        edges = [x0 + dx, y0 + dy, x1 + dx, y1 + dy];
      }
      edges = edges.map((v) => between(Math.round(v * 1e4) / 1e4, 0, 1));
      put(box, edges);
      clearTimeout(timer);
      timer = setTimeout(() => this.act(async () => {
        try { await ask("PUT", this.path(name), { box: edges }); } finally { timer = 0; }
      }), saveAfter);
    };
    box.addEventListener("keydown", (e) => {
      const by = { ArrowLeft: [-step, 0], ArrowRight: [step, 0], ArrowUp: [0, -step], ArrowDown: [0, step] }[e.key];
      if (!by) return;
      e.preventDefault();
      change(...by, e.shiftKey);
    });
    box.addEventListener("pointerdown", (e) => {
      const r = box.getBoundingClientRect();
      box.setPointerCapture(e.pointerId);
      const corner = Math.min(24, r.width / 2, r.height / 2);
      grip = { x: e.clientX, y: e.clientY, resize: r.right - e.clientX < corner && r.bottom - e.clientY < corner };
    });
    box.addEventListener("pointermove", (e) => {
      if (!grip) return;
      const r = this.layer.getBoundingClientRect();
      change((e.clientX - grip.x) / r.width, (e.clientY - grip.y) / r.height, grip.resize);
      grip.x = e.clientX;
      grip.y = e.clientY;
    });
    for (const kind of ["pointerup", "pointercancel"]) box.addEventListener(kind, () => { grip = null; });
    const show = (r) => {
      const words = r.state.changes === 0 ? "…" : r.state.label || (r.state.known ? `unknown (last: ${r.state.known})` : "unknown");
      if (state.textContent !== words) state.textContent = words;
      settings.show(r);
      title.textContent = `${name}: ${words}`;
      if (timer || grip) return; // the server has not heard of the last change yet
      edges = r.box;
      put(box, edges);
    };
    return { box, row, option: make("option", { value: name, textContent: name }), show };
  }
}
