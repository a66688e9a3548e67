// What the server says about the training photos: whether each class has enough, and which photos are likely
// mislabeled.
import { ask } from "./api.js";
import { make } from "./classes.js";

const settle = 700; // ms without another change, until the photos are checked
const automatic = 2000; // photos up to which they are checked after every change
const storage = "imprint-kept", mostKept = 1000; // labels that the user confirmed; this browser remembers them

export class Review {
  // section holds a title, a list and the number of photos that are left out. check is a button, cards are
  // those of the classes, and told shows an error.
  constructor({ section, title, list, rest, check, cards, told }) {
    Object.assign(this, { section, title, list, rest, button: check, cards, told, due: false, total: 0 });
    check.addEventListener("click", () => this.check());
    document.addEventListener("visibilitychange", () => { if (this.due) this.check(); });
  }

  // changed checks the photos of changed classes a little later.
  changed(classes) {
    clearTimeout(this.timer);
    this.running?.abort();
    const photos = classes.reduce((n, c) => n + c.photos.length, 0);
    this.button.hidden = photos <= automatic || classes.length < 2;
    if (classes.length < 2) this.draw({ classes: [], suspects: [], total: 0 });
    else if (photos <= automatic) this.timer = setTimeout(() => this.check(), settle);
  }

  async check() {
    if (this.due = document.hidden) return; // until someone looks
    this.running?.abort();
    const mine = this.running = new AbortController();
    this.button.disabled = true;
    try {
      this.draw(await ask("GET", "/v1/review", undefined, mine.signal));
    } catch (e) {
      if (e.again) e.again = () => this.check();
      if (!mine.signal.aborted) this.told(e);
    }
    if (this.running === mine) this.button.disabled = false;
  }

  draw({ classes, suspects, total }) {
    this.cards.judge(classes);
    const kept = new Set(remembered());
    const left = suspects.filter((p) => !kept.has(key(p)));
    const old = new Map([...this.list.children].map((e) => [e.dataset.key, e]));
    const wanted = new Set(left.map(key));
    for (const [k, e] of old) if (!wanted.has(k)) e.remove();
    left.forEach((p, i) => { // in place, so that buttons keep the focus
      const e = old.get(key(p)) ?? this.item(p), there = this.list.children[i] ?? null;
      if (there !== e) this.list.insertBefore(e, there);
    });
    this.total = total - (suspects.length - left.length);
    this.count();
  }

  count() {
    const n = this.total, more = n - this.list.children.length;
    this.section.hidden = this.list.children.length === 0;
    this.title.textContent = n === 1 ? "1 photo may be in the wrong class" : `${n} photos may be in the wrong class`;
    this.rest.textContent = more > 0 ? `${more} more follow when these are settled.` : "";
    this.rest.hidden = more <= 0;
  }

  item(p) {
    const buttons = [];
    const button = (text, act) => {
      const b = make("button", { type: "button", textContent: text, onclick: async () => {
        for (const other of buttons) other.disabled = true;
        try {
          await act();
          const next = (element.nextElementSibling ?? element.previousElementSibling)?.querySelector("button");
          element.remove();
          this.total--;
          this.count();
          next?.focus();
        } catch (e) {
          this.told(e);
        }
        for (const other of buttons) other.disabled = false;
      } });
      b.setAttribute("aria-description", `photo of ${p.label}`);
      buttons.push(b);
    };
    button(`Move to ${p.looks}`, () => ask("PATCH", path, { label: p.looks }));
    button("Keep", () => remember(key(p)));
    button("Delete", () => ask("DELETE", path));
    const path = `/v1/examples/${p.sha256}`;
    const element = make("li", { className: "card" },
      make("img", { alt: `Photo of ${p.label}`, src: path + "/thumbnail.jpg", width: 160, height: 160 }),
      make("div", {}, make("p", { dir: "auto" }, "Labeled ", make("bdi", { textContent: p.label }), ", looks like ", make("bdi", { textContent: p.looks })), make("div", { className: "choices" }, ...buttons)));
    element.dataset.key = key(p);
    return element;
  }
}

const key = (p) => `${p.sha256} ${p.label}`;

function remembered() {
  try { return JSON.parse(localStorage.getItem(storage)) ?? []; } catch { return []; }
}

// remember stores a key. Some browsers refuse; then the photo is shown again at the next check.
function remember(k) {
  try { localStorage.setItem(storage, JSON.stringify([...remembered(), k].slice(-mostKept))); } catch { /* refused */ }
}
