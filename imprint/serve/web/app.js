// The page of imprint serve: what the camera sees, and buttons that teach.
import { ask, listen } from "./api.js";
import { holdToTeach, watching } from "./hold.js";
import { Cards } from "./classes.js";

const at = (id) => document.getElementById(id);
const percent = (v) => `${Math.round(v * 100)} %`;

// What happened last, in a sentence.
function tell(sentence, good = false) {
  at("notice").textContent = sentence;
  at("notice").classList.toggle("bad", !good);
}

const cards = new Cards(at("classes"), tell);
holdToTeach(at("teach-new"), () => {
  const name = at("name").value.trim();
  if (!name) { tell("Name the class first."); at("name").focus(); }
  return name;
}, tell);
at("name").addEventListener("keydown", (e) => { if (e.key === "Enter") at("teach-new").focus(); });
at("undo").addEventListener("click", () => ask("POST", "/v1/undo").catch((e) => tell(e.message)));

// What is wrong, if anything: one sentence above everything.
const state = { connected: true, status: 0, health: null, classes: null };
function showTrouble() {
  const { source, device } = state.health ?? {};
  let sentence = "";
  if (!state.connected && state.status === 401) sentence = "This page needs a token: open the address that imprint serve has printed.";
  else if (!state.connected && state.status === 503) sentence = "The server has too many pages open; close one.";
  else if (!state.connected) sentence = "The server does not answer. Trying again…";
  else if (device?.state === "down") sentence = `The device fails: ${device.error}. It is tried again; imprint doctor says what to do.`;
  else if (source?.state === "lost") sentence = `The camera is lost: ${source.error}. It is opened again as soon as it is back.`;
  else if (source?.state === "ended") sentence = `${source.name} has come to its end; start imprint serve with --loop to see it again.`;
  else if (source?.state === "none" && source.frames === 0) sentence = "No camera was named: frames are posted by programs, and none has come yet.";
  if (at("trouble").textContent !== sentence) at("trouble").textContent = sentence;
  at("trouble").hidden = sentence === "";
}

// The picture. A stream that breaks off is asked for again.
const picture = at("picture");
let streaming;
function stream() {
  clearTimeout(streaming);
  picture.src = `/v1/stream.mjpg?${Date.now()}`;
}
picture.addEventListener("error", () => { picture.hidden = true; at("blank").hidden = false; clearTimeout(streaming); streaming = setTimeout(stream, 1500); });
stream();

// Results come faster than a screen shows them: the newest is drawn.
let newest = null, drawing = false, counted = [];
function draw() {
  drawing = false;
  const r = newest, none = r.voted === "";
  at("label").textContent = none ? (state.classes?.length ? "unknown" : "nothing taught yet") : r.voted;
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
  at("rate").textContent = counted.length > 1 ? `${(1000 * (counted.length - 1) / (now - counted[0])).toFixed(0)} a second` : "–";
  cards.see(r.voted);
  speak(at("label").textContent);
}

// Screen readers are told a label that has stayed for a while, once.
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
    at("accuracy").textContent = c.classes.length === 0 ? "Nothing has been taught yet. Name a class, then hold its button while it is in view."
      : c.classes.length === 1 ? "One class alone is always the answer: teach a second one."
      : a.total === 0 ? "How good it is shows when each class has been taught twice, at two moments."
      : `Right on ${a.right} of ${a.total} photos that it had not seen: ${percent(a.right / a.total)} (with 95 % probability ${percent(a.low)} to ${percent(a.high)}).`;
    at("undo").disabled = c.generation === 0;
  },
  generation(g) { at("generation").textContent = g.generation; },
  teach(t) {
    if (t.state === "holding") watching(t.frames);
    if (t.state === "done" && t.label === at("name").value.trim()) at("name").value = "";
  },
  notice(n) { tell(n.sentence, n.ok); },
});
