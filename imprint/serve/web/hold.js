// Buttons that record while they are held, by finger, mouse or key.
import { ask } from "./api.js";

let held = null; // the current hold; only one is possible
let place = () => ({});

// trainAt makes each hold train what place() describes: an object at a point, or a region.
export function trainAt(where) { place = where; }

// holdToTrain makes a button train the class label() while it is held. It calls told with the
// message of each error.
export function holdToTrain(button, label, told) {
  const begin = () => {
    const name = label();
    if (held || !name) return;
    const mine = held = { button, name };
    button.classList.add("held");
    button.textContent = "Recording…";
    mine.started = ask("POST", "/v1/teach", { label: name, action: "start", ...place() });
    mine.started.catch((e) => { told(e.message); end("cancel"); });
  };
  const end = async (action) => {
    const mine = held;
    if (!mine || mine.button !== button || mine.ending) return;
    mine.ending = true;
    button.textContent = action === "stop" ? "Training…" : "Hold to train";
    try {
      await mine.started;
      await ask("POST", "/v1/teach", { label: mine.name, action });
    } catch (e) {
      told(e.message);
    }
    held = null;
    button.classList.remove("held");
    button.textContent = "Hold to train";
  };
  button.addEventListener("pointerdown", (e) => {
    if (e.button !== 0) return;
    button.setPointerCapture(e.pointerId);
    begin();
  });
  button.addEventListener("pointerup", () => end("stop"));
  button.addEventListener("pointercancel", () => end("cancel"));
  button.addEventListener("contextmenu", (e) => e.preventDefault()); // a long touch would open the menu
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

// recording shows the number of recorded frames on the held button.
export function recording(frames) {
  if (held && !held.ending) held.button.textContent = `Recording: ${frames} frame${frames === 1 ? "" : "s"}`;
}

// isHeld reports whether a button in element is held. Such an element must not be removed.
export const isHeld = (element) => held !== null && element.contains(held.button);
