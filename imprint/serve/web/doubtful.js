// Doubtful pictures, in groups of look-alikes: one tap labels a group or drops it.
import { ask } from "./api.js";
import { make, question } from "./classes.js";

const shown = 6; // pictures of a group, from its newest to its oldest
const page = 3; // groups; the next appear as these are settled
const most = 10; // classes with a button of their own

// spread chooses pictures over all of a group: neighbors are often of one moment and say little about the others.
const spread = (pictures) => (pictures.length <= shown ? pictures : Array.from({ length: shown }, (_, i) => pictures[Math.floor(i * (pictures.length - 1) / (shown - 1))]));

export class Doubtful {
  // section holds a title and a list, and labels() returns the trained classes.
  constructor({ section, title, list, labels, told }) {
    Object.assign(this, { section, title, list, labels, told, groups: [], busy: false, again: false });
  }

  // show shows the groups if there are any. counts is the event's data.
  async show(counts) {
    this.section.hidden = counts.pictures === 0;
    if (counts.pictures === 0) { this.draw([]); return; }
    this.title.textContent = `Not sure about ${counts.pictures === 1 ? "1 picture" : `${counts.pictures} pictures`}`;
    if (this.busy) { this.again = true; return; }
    this.busy = true;
    try {
      do {
        this.again = false;
        this.draw((await ask("GET", `/v1/doubtful?limit=${page}`)).list);
      } while (this.again);
    } catch (e) {
      this.told(e.message);
    } finally {
      this.busy = false;
    }
  }

  // draw updates the groups in place, so that buttons keep the focus. Without groups, it only updates the
  // classes to choose from.
  draw(groups = this.groups) {
    this.groups = groups;
    const old = new Map([...this.list.children].map((e) => [e.dataset.group, e]));
    this.list.replaceChildren(...groups.map((g) => {
      const key = String(g.number), choices = this.choices(g), now = JSON.stringify([choices, g.pictures.map((p) => p.sha256)]);
      const there = old.get(key);
      if (there?.now === now) return there;
      const element = this.group(g, choices);
      element.now = now;
      element.dataset.group = key;
      return element;
    }));
  }

  // choices returns the classes with a button: the most similar one first.
  choices(g) {
    return [...new Set([g.label, ...this.labels()])].filter(Boolean).slice(0, most);
  }

  group(g, choices) {
    const n = g.pictures.length === 1 ? "1 picture" : `${g.pictures.length} look-alikes`;
    const buttons = [];
    const button = (text, body) => {
      const b = make("button", { type: "button", textContent: text, onclick: async () => {
        for (const other of buttons) other.disabled = true;
        try {
          const what = await body();
          if (what) await ask("POST", `/v1/doubtful/${g.number}`, what);
        } catch (e) {
          this.told(e.message);
        }
        for (const other of buttons) other.disabled = false;
      } });
      b.setAttribute("aria-description", n);
      buttons.push(b);
    };
    for (const label of choices) button(label, () => ({ action: "label", label }));
    button("Other class…", async () => {
      const label = await question(`What do these show? Classes: ${this.labels().join(", ")}`, "Add", "");
      return label && { action: "label", label };
    });
    button("None of the classes", () => ({ action: "negative" }));
    button("Drop", () => ({ action: "drop" }));
    const pictures = spread(g.pictures).map((p) =>
      make("img", { alt: "", loading: "lazy", src: `/v1/doubtful/${p.sha256}/thumbnail.jpg`, title: `${p.label} ${Math.round(p.score * 100)} %, ${new Date(p.captured).toLocaleString()}` }));
    return make("li", { className: "card" }, make("p", { className: "count", textContent: n }), make("div", { className: "photos" }, ...pictures), make("div", { className: "choices" }, ...buttons));
  }
}
