// The form with the settings of a region.
import { make } from "./classes.js";

// The numbers of a region: key, label, the number on the form for 1 on the server, largest number, step.
const numbers = [
  ["answers", "Equal answers in a row that make a state", 1, 1000, 1],
  ["min_score", "Minimum confidence (%)", 100, 100, 1],
  ["hysteresis", "Less for the current state (%)", 100, 100, 1],
  ["motion", "Look when brightness changes by (%; 0: always)", 100, 100, 0.1],
];

// settingsOf makes a form for the region called name, and a button that opens it with the values that
// show got last. save gets the new settings and returns a promise; remove removes the region.
export function settingsOf(name, { save, remove }) {
  let region = null;
  const field = (label, props) => {
    const input = make("input", { required: true, ...props });
    return { input, row: make("label", {}, make("span", { textContent: label }), input) };
  };
  const title = field("Name", { type: "text", autocomplete: "off", maxLength: 60 });
  const fields = numbers.map(([key, label, scale, max, step]) =>
    ({ key, scale, ...field(label, { type: "number", min: key === "answers" ? 1 : 0, max, step }) }));
  const answer = make("p", { className: "hint" });
  const problem = make("p", { className: "bad", role: "alert" });
  const cancel = make("button", { type: "button", textContent: "Cancel" });
  const form = make("form", { hidden: true, ariaLabel: `Settings of region ${name}` }, title.row, ...fields.map((f) => f.row), answer, problem,
    make("div", { className: "choices" }, make("button", { className: "strong", textContent: "Save" }), cancel,
      make("button", { type: "button", className: "quiet", textContent: "Remove", ariaLabel: `Remove region ${name}`, onclick: remove })));
  const button = make("button", { type: "button", className: "quiet", textContent: "Settings", ariaLabel: `Settings of region ${name}` });
  const open = (shown) => {
    form.hidden = !shown;
    button.ariaExpanded = String(shown);
  };
  open(false);
  const close = () => { open(false); button.focus(); };
  button.addEventListener("click", () => {
    title.input.value = name;
    for (const f of fields) f.input.value = Math.round(region[f.key] * f.scale * 100) / 100;
    problem.textContent = "";
    open(form.hidden);
    if (!form.hidden) title.input.focus();
  });
  cancel.addEventListener("click", close);
  form.addEventListener("keydown", (e) => { if (e.key === "Escape") close(); });
  form.addEventListener("submit", async (e) => {
    e.preventDefault();
    problem.textContent = "";
    try {
      await save({ name: title.input.value.trim(), ...Object.fromEntries(fields.map((f) => [f.key, f.input.valueAsNumber / f.scale])) });
      close();
    } catch (error) {
      problem.textContent = error.message;
    }
  });
  const show = (r) => {
    region = r;
    if (form.hidden || !r.answer) return;
    const { label, score, unknown } = r.answer;
    answer.textContent = `Now: ${unknown ? "unknown" : `${label} ${Math.round(100 * score)} %`}`;
  };
  return { button, form, show };
}
