// Buttons that teach for as long as they are held: with a finger, a mouse, or a key.
import { ask } from "./api.js";

let held = null; // the hold under way; there is one at a time

// holdToTeach makes a button teach the label that label() gives. told is called with
// what went wrong.
export function holdToTeach(button, label, told) {
  const begin = () => {
    const name = label();
    if (held || !name) return;
    const mine = held = { button, name };
    button.classList.add("held");
    button.textContent = "Watching…";
    mine.started = ask("POST", "/v1/teach", { label: name, action: "start" });
    mine.started.catch((e) => { told(e.message); end("cancel"); });
  };
  const end = async (action) => {
    const mine = held;
    if (!mine || mine.button !== button || mine.ending) return;
    mine.ending = true;
    button.textContent = action === "stop" ? "Teaching…" : "Hold to teach";
    try {
      await mine.started;
      await ask("POST", "/v1/teach", { label: mine.name, action });
    } catch (e) {
      told(e.message);
    }
    held = null;
    button.classList.remove("held");
    button.textContent = "Hold to teach";
  };
  button.addEventListener("pointerdown", (e) => {
    if (e.button !== 0) return;
    button.setPointerCapture(e.pointerId);
    begin();
  });
  button.addEventListener("pointerup", () => end("stop"));
  button.addEventListener("pointercancel", () => end("cancel"));
  button.addEventListener("contextmenu", (e) => e.preventDefault()); // of a long touch
  button.addEventListener("keydown", (e) => {
    if (e.key === "Escape") { end("cancel"); return; }
    if (e.key !== " " && e.key !== "Enter") return;
    e.preventDefault();
    if (!e.repeat) begin();
  });
  button.addEventListener("keyup", (e) => { if (e.key === " " || e.key === "Enter") end("stop"); });
  button.addEventListener("blur", () => end("cancel"));
  document.addEventListener("keydown", (e) => { if (e.key === "Escape") end("cancel"); });
  document.addEventListener("visibilitychange", () => { if (document.hidden) end("cancel"); });
}

// watching shows how many frames a hold has seen.
export function watching(frames) {
  if (held && !held.ending) held.button.textContent = `Watching: ${frames} frame${frames === 1 ? "" : "s"}`;
}

// isHeld says whether a button in element is held: then it must not be replaced.
export const isHeld = (element) => held !== null && element.contains(held.button);
