// The cards of the trained classes.
import { ask } from "./api.js";
import { holdToTrain, isHeld } from "./hold.js";

const shown = 8; // photos per class
const most = 200; // photos per class after "Show all"

// make makes an element with children.
export const make = (tag, props = {}, ...children) => {
  const e = Object.assign(document.createElement(tag), props);
  e.append(...children);
  return e;
};

let forgetQuestion = () => {};

// question asks for a confirmation or, if text is given, for a new text. It resolves to
// null if the user cancels or another question takes its place. It can show a photo, and offer another
// answer; then it resolves to "other" if the user chooses that. With choices, a list of texts, the user
// chooses one of them or enters a new one; text is the choice that it starts with.
export function question(words, yes, text, { photo, other, choices } = {}) {
  forgetQuestion(); // the close event of its dialog may still be queued
  const dialog = document.getElementById("ask");
  const field = document.getElementById("ask-field"), input = document.getElementById("ask-text");
  document.getElementById("question").textContent = words;
  document.getElementById("ask-yes").textContent = yes;
  const pick = document.getElementById("ask-pick"), list = document.getElementById("ask-class");
  pick.hidden = !choices;
  list.replaceChildren(...(choices ?? []).map((c) => make("option", { value: c, textContent: c, selected: c === text })), make("option", { value: "", textContent: "New class…" }));
  const enter = () => {
    field.hidden = text === undefined || pick.hidden === false && list.value !== "";
  };
  list.onchange = () => { enter(); if (!field.hidden) input.focus(); };
  enter();
  const shownPhoto = document.getElementById("ask-photo"), third = document.getElementById("ask-other");
  shownPhoto.hidden = !photo;
  if (photo) shownPhoto.src = photo;
  third.hidden = !other;
  third.textContent = other ?? "";
  input.value = choices ? "" : text ?? "";
  dialog.returnValue = "";
  dialog.showModal();
  if (!field.hidden) input.select();
  return new Promise((answer) => {
    const closed = () => {
      if (dialog.open) return; // the event belongs to the previous question
      answer(dialog.returnValue === "other" ? "other" : dialog.returnValue === "yes" ? (text === undefined ? true : field.hidden ? list.value : input.value.trim()) : null);
      forgetQuestion();
    };
    forgetQuestion = () => { dialog.removeEventListener("close", closed); answer(null); };
    dialog.addEventListener("close", closed);
  });
}

// Enter in the text field confirms. By default it would press the first button.
document.getElementById("ask-text").addEventListener("keydown", (e) => {
  if (e.key !== "Enter") return;
  e.preventDefault();
  document.getElementById("ask").close("yes");
});

// What a verdict of the server says about a class.
const verdicts = {
  enough: () => "enough photos",
  more: (v) => `add about ${v.more} more`,
  confused: (v) => `confused with ${v.with}`,
  few: (v) => `too few to tell: add ${v.more} from other times`,
};

// Cards shows one card per class. It updates existing cards in place, so that a button
// stays held or focused.
export class Cards {
  // add is called with a label to add the chosen photos to its class.
  constructor(list, told, add) {
    this.list = list;
    this.told = told;
    this.add = add;
    this.cards = new Map();
    this.offer = ""; // the text of the buttons that add chosen photos; "" if there are none
  }

  // offers changes the text of those buttons.
  offers(text) {
    this.offer = text;
    for (const card of this.cards.values()) card.offer(text);
  }

  // show updates the cards. advice names the class that more photos should help most, if any.
  show(classes, advice) {
    const labels = new Set(classes.map((c) => c.label));
    for (const [label, card] of this.cards) {
      if (labels.has(label) || isHeld(card.element)) continue;
      card.element.remove();
      this.cards.delete(label);
    }
    classes.forEach((c, i) => {
      let card = this.cards.get(c.label);
      if (!card) this.cards.set(c.label, card = this.make(c.label));
      if (this.list.children[i] !== card.element) this.list.insertBefore(card.element, this.list.children[i] ?? null);
      card.show(c.photos, advice?.label === c.label ? advice : null);
    });
  }

  // judge shows the server's verdict on each class.
  judge(list) {
    const of = new Map(list.map((v) => [v.label, v]));
    for (const [label, card] of this.cards) card.judge(of.get(label));
  }

  // see highlights the recognized class.
  see(label) {
    for (const [name, card] of this.cards) card.element.classList.toggle("seen", name === label);
  }

  make(label) {
    const act = (work) => async () => {
      try { await work(); } catch (e) { this.told(e); }
    };
    const path = "/v1/classes/" + encodeURIComponent(label);
    const count = make("span", { className: "count" });
    let photos = [], all = false;
    const rename = make("button", { type: "button", className: "quiet", textContent: "Rename", ariaLabel: `Rename ${label}`, onclick: act(async () => {
      const name = await question(`Rename ${label}`, "Rename", label);
      if (name && name !== label) await ask("PATCH", path, { label: name });
    }) });
    const forget = make("button", { type: "button", className: "quiet", textContent: "Remove", ariaLabel: `Remove ${label}`, onclick: act(async () => {
      if (await question(`Remove ${label} and its ${photos.length === 1 ? "photo" : photos.length + " photos"}?`, "Remove")) await ask("DELETE", path);
    }) });
    const teach = make("button", { type: "button", className: "hold", textContent: "Hold to train" });
    teach.setAttribute("aria-description", label);
    holdToTrain(teach, () => label, this.told);
    const add = make("button", { type: "button", className: "add", onclick: () => this.add(label) });
    add.setAttribute("aria-description", label);
    const offer = (text) => { add.textContent = text; add.hidden = text === ""; };
    offer(this.offer);
    const verdict = make("p", { className: "verdict", hidden: true, dir: "auto" });
    const tip = make("p", { className: "hint" });
    const grid = make("div", { className: "photos" });
    const more = make("button", { type: "button", className: "quiet", onclick: () => { all = !all; draw(); } });
    const element = make("li", { className: "card" },
      make("div", { className: "row" }, make("h3", { textContent: label, dir: "auto" }), count, make("span", {}, rename, forget)), verdict, tip, teach, add, grid, more);
    element.dataset.label = label;
    const draw = () => {
      count.textContent = photos.length === 1 ? "1 photo" : `${photos.length} photos`;
      const some = photos.slice(0, all ? most : shown);
      const there = new Map([...grid.children].map((b) => [b.dataset.sha256, b]));
      grid.replaceChildren(...some.map((p, i) => there.get(p.sha256) ?? photo(p, i)));
      more.hidden = photos.length <= shown;
      more.textContent = all ? "Show fewer" : `Show all ${photos.length}`;
      more.ariaLabel = `${more.textContent} photos of ${label}`;
    };
    const photo = (p, i) => {
      const when = new Date(p.time).toLocaleString();
      const example = "/v1/examples/" + p.sha256, thumbnail = example + "/thumbnail.jpg";
      const img = make("img", { alt: "", loading: "lazy", src: thumbnail, onerror: () => { img.hidden = true; } });
      const b = make("button", { type: "button", title: when, ariaLabel: `Remove or move photo ${i + 1} of ${label}, ${when}`, onclick: act(async () => {
        const what = await question(`Remove this photo of ${label} (${when})?`, "Remove", undefined, { photo: thumbnail, other: "Move…" });
        if (what === "other") {
          const to = await question(`To which class does this photo belong?`, "Move", label, { photo: thumbnail, choices: [...this.cards.keys()] });
          if (to && to !== label) await ask("PATCH", example, { label: to });
        } else if (what) {
          await ask("DELETE", example);
        }
      }) }, img);
      b.dataset.sha256 = p.sha256;
      return b;
    };
    let helps = false; // whether the tip has something to say
    const judge = (v) => {
      verdict.hidden = !v;
      tip.hidden = !helps || (v && v.verdict !== "few");
      if (!v) return;
      verdict.textContent = verdicts[v.verdict](v) + (v.total > 0 ? ` (${v.right} of ${v.total} recognized when left out)` : "");
      verdict.dataset.verdict = v.verdict;
    };
    return { element, offer, judge, show: (list, advice) => {
      const now = Math.round(100 * (advice?.now ?? 0)), then = Math.round(100 * (advice?.then ?? 0));
      tip.textContent = `${advice?.more} more photos should help most (${now} → ${then} % correct)`;
      helps = then > now;
      tip.hidden = !helps || (!verdict.hidden && verdict.dataset.verdict !== "few");
      photos = list.toSorted((a, b) => (a.time < b.time ? 1 : -1)); // newest first
      draw();
    } };
  }
}
