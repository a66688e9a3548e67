// The page of imprint serve: the camera picture, the result, and buttons to train classes.
import { ask, listen } from "./api.js";
import { holdToTrain, recording } from "./hold.js";
import { Cards } from "./classes.js";

const at = (id) => document.getElementById(id);
const percent = (v) => `${Math.round(v * 100)} %`;

// tell shows the outcome of the last action.
function tell(sentence, good = false) {
  at("notice").textContent = sentence;
  at("notice").classList.toggle("bad", !good);
}

const cards = new Cards(at("classes"), tell);
holdToTrain(at("teach-new"), () => {
  const name = at("name").value.trim();
  if (!name) { tell("Name the class first."); at("name").focus(); }
  return name;
}, tell);
at("name").addEventListener("keydown", (e) => { if (e.key === "Enter") at("teach-new").focus(); });
at("undo").addEventListener("click", () => ask("POST", "/v1/undo").catch((e) => tell(e.message)));

// showTrouble shows what is wrong, if anything, at the top of the page.
const state = { connected: true, status: 0, health: null, classes: null };
function showTrouble() {
  const { source, device } = state.health ?? {};
  let sentence = "";
  if (!state.connected && state.status === 401) sentence = "This page needs a token. Open the URL that imprint serve printed.";
  else if (!state.connected && state.status === 503) sentence = "Too many pages are open. Close one of them.";
  else if (!state.connected) sentence = "Can't reach the server. Retrying…";
  else if (device?.state === "down") sentence = `Device error: ${device.error}. Retrying… To diagnose it, run imprint doctor.`;
  else if (source?.state === "lost") sentence = `Camera lost: ${source.error}. Retrying…`;
  else if (source?.state === "ended") sentence = `${source.name} has ended. To repeat it, start imprint serve with --loop.`;
  else if (source?.state === "none" && source.frames === 0) sentence = "No camera yet. Post frames to /v1/frames, or start with --source camera:/dev/video0.";
  if (at("trouble").textContent !== sentence) at("trouble").textContent = sentence;
  at("trouble").hidden = sentence === "";
}

// The picture. Reopen the stream when it breaks.
const picture = at("picture");
let streaming;
function stream() {
  clearTimeout(streaming);
  picture.src = `/v1/stream.mjpg?${Date.now()}`;
}
picture.addEventListener("error", () => { picture.hidden = true; at("blank").hidden = false; clearTimeout(streaming); streaming = setTimeout(stream, 1500); });
stream();

// Results arrive faster than the screen refreshes. Draw only the newest.
let newest = null, drawing = false, counted = [];
function draw() {
  drawing = false;
  const r = newest, none = r.voted === "";
  at("label").textContent = none ? (state.classes?.length ? "unknown" : "no classes yet") : r.voted;
  at("label").classList.toggle("none", none);
  at("score").textContent = none ? "" : percent(r.score);
  const unknown = r.top.find((t) => t.label === "unknown")?.score ?? (r.unknown ? 1 - r.score : 0);
  const sure = r.unknown ? 0 : r.score;
  at("sure").value = sure;
  at("sure-text").textContent = percent(sure);
  at("unknown").value = unknown;
  at("unknown-text").textContent = percent(unknown);
  at("top").replaceChildren(...r.top.slice(0, 5).map((t) => Object.assign(document.createElement("li"), { textContent: `${t.label} ${percent(t.score)}` })));
  at("device").textContent = r.device || "–";
  at("latency").textContent = `${r.latency_ms.toFixed(r.latency_ms < 10 ? 1 : 0)} ms`;
  at("generation").textContent = r.generation;
  const now = performance.now();
  counted = counted.filter((t) => now - t < 2000);
  at("rate").textContent = counted.length > 1 ? `${(1000 * (counted.length - 1) / (now - counted[0])).toFixed(0)} fps` : "–";
  cards.see(r.voted);
  speak(at("label").textContent);
}

// speak announces a label to screen readers once it is stable.
let spoken = "", speaking;
function speak(label) {
  if (speaking?.label === label) return;
  clearTimeout(speaking?.timer);
  speaking = undefined;
  if (label === spoken) return;
  speaking = { label, timer: setTimeout(() => { spoken = label; at("spoken").textContent = label; speaking = undefined; }, 800) };
}

listen({
  connection(connected, status) {
    if (connected && !state.connected) stream();
    state.connected = connected;
    state.status = status;
    document.body.classList.toggle("offline", !connected);
    showTrouble();
  },
  state(h) {
    state.health = h;
    showTrouble();
  },
  result(r) {
    newest = r;
    counted.push(performance.now());
    if (picture.hidden && picture.naturalWidth > 0) { picture.hidden = false; at("blank").hidden = true; }
    if (drawing) return;
    drawing = true;
    requestAnimationFrame(draw);
  },
  classes(c) {
    state.classes = c.classes;
    cards.show(c.classes);
    const a = c.accuracy;
    at("accuracy").textContent = c.classes.length === 0 ? "No classes yet. Name one, then hold the button while the camera sees it."
      : c.classes.length === 1 ? "Only one class, so it always wins. Add a second one."
      : a.total === 0 ? "To estimate accuracy, record each class a second time."
      : `Accuracy ${percent(a.right / a.total)} (${Math.round(a.low * 100)}–${percent(a.high)}) on photos left out`;
    at("accuracy").title = a.total === 0 ? "" : `${a.right} of ${a.total} photos`;
    at("undo").disabled = c.generation === 0;
  },
  generation(g) { at("generation").textContent = g.generation; },
  teach(t) {
    if (t.state === "holding") recording(t.frames);
    if (t.state === "done" && t.label === at("name").value.trim()) at("name").value = "";
  },
  notice(n) { tell(n.sentence, n.ok); },
});
