// The page of imprint serve: the camera picture, the result, and buttons to train classes.
import { ask, listen, send } from "./api.js";
import { Boxes } from "./boxes.js";
import { Camera } from "./camera.js";
import { Cards, make } from "./classes.js";
import { Doubtful } from "./doubtful.js";
import { holdToTrain, recording, trainAt } from "./hold.js";
import { jpeg } from "./jpeg.js";
import { Regions } from "./regions.js";
import { Tray, acceptDrops, count } from "./photos.js";
import { Review } from "./review.js";

const at = (id) => document.getElementById(id);
const percent = (v) => `${Math.round(v * 100)} %`;

// offer shows a button that helps, or hides it if it has no text.
function offer(id, text, act) {
  at(id).hidden = !text;
  if (at(id).textContent !== text) at(id).textContent = text ?? "";
  at(id).onclick = act;
}

// tell shows the outcome of the last action: a sentence or an error. An error that may be over soon gets a
// button to try again.
let failed = ""; // the error shown, as the server's notice has it
function tell(what, good = false) {
  failed = what.error ?? "";
  at("notice").textContent = what.message ?? what;
  at("notice").classList.toggle("bad", !good);
  offer("again", what.again && "Try again", () => what.again().catch(tell));
}

const choosePhotos = () => at("files").click();
const nameClass = () => { at("name").scrollIntoView({ block: "center" }); at("name").focus(); };
const camera = new Camera(at("camera"), (sentence, help) => {
  at("way").textContent = sentence;
  offer("way-help", { choose: "Choose photos instead", again: "Try again" }[help], help === "choose" ? choosePhotos : () => camera.start());
});
const tray = new Tray(at("photos"), {
  // The picture shows chosen photos unless it shows a camera.
  path: () => (camera.running || state.health?.source.state !== "none" ? "/v1/classify" : "/v1/frames"),
  told: tell,
  changed(n) {
    at("tray").hidden = n === 0;
    at("tray-title").textContent = count(n);
    at("add-new").hidden = n === 0;
    at("add-new").textContent = `Add ${count(n)}`;
    cards.offers(n === 0 ? "" : `Add ${count(n)}`);
  },
});
const cards = new Cards(at("classes"), tell, (label) => tray.train(label));

const review = new Review({ section: at("suspects"), title: at("suspects-title"), list: at("suspect-photos"), rest: at("suspects-rest"), check: at("check"), cards, told: tell });

const regions = new Regions({ picture: at("picture"), layer: at("parts"), list: at("regions"), choice: at("area"), add: at("add-region"), told: tell });

const doubtful = new Doubtful({ section: at("doubts"), title: at("doubts-title"), list: at("groups"), labels: () => (state.classes ?? []).map((c) => c.label), told: tell });

function newName() {
  const name = at("name").value.trim();
  if (!name) { tell("Name the class first."); at("name").focus(); }
  return name;
}

// trainNew adds photos to a new class.
async function trainNew(files) {
  const name = newName();
  if (!name) return;
  if (await tray.train(name, files) && at("name").value.trim() === name) at("name").value = "";
}

holdToTrain(at("teach-new"), newName, tell);
at("add-new").addEventListener("click", () => trainNew());
at("choose").addEventListener("click", choosePhotos);
at("first").addEventListener("click", nameClass);
at("choose-folder").addEventListener("click", () => at("folder").click());
for (const input of [at("files"), at("folder")]) {
  input.addEventListener("change", () => {
    tray.take(input.files);
    input.value = ""; // so that the same photos can be chosen again
  });
}
at("clear").addEventListener("click", () => tray.remove(tray.photos));
acceptDrops((files, target) => {
  const card = target.closest?.(".card");
  if (card?.dataset.label) tray.train(card.dataset.label, files);
  else if (card) trainNew(files);
  else tray.take(files);
});
at("name").addEventListener("keydown", (e) => { if (e.key === "Enter") at("teach-new").focus(); });
at("undo").addEventListener("click", () => ask("POST", "/v1/undo").catch(tell));
at("pass").addEventListener("input", () => { at("pass-text").textContent = `${at("pass").value} %`; });
at("pass").addEventListener("change", () => ask("POST", "/v1/retrain", { unknown: at("pass").value / 100 }).catch(tell));

// showTrouble shows what is wrong, if anything, at the top of the page.
const state = { connected: true, status: 0, health: null, classes: null };
function showTrouble() {
  const { source, device } = state.health ?? {};
  let sentence = "", help = ["Choose photos", choosePhotos];
  if (!state.connected) help = ["Try now", () => reconnect()];
  if (!state.connected && state.status === 401) {
    sentence = "This page needs a token: sign in with the one that imprint serve printed.";
    help = ["Sign in", () => location.reload()];
  } else if (!state.connected && state.status === 503) sentence = "Too many pages are open: close one of them.";
  else if (!state.connected) sentence = "Can't reach the server: check that imprint serve runs. Retrying…";
  else if (device?.state === "down") {
    sentence = `Device error: ${device.error}. Plug it in again or, to diagnose it, run imprint doctor. Retrying…`;
    help = ["Try now", () => probe().catch(tell)];
  } else if (source?.state === "missing") sentence = `${source.name} not found: plug it in, choose photos, or start imprint serve with another --source. Trying again…`;
  else if (source?.state === "failed") sentence = `No picture from ${source.name}: ${source.error}. Trying again…`;
  else if (source?.state === "lost") sentence = `Camera lost: ${source.error}. Plug it in again, or choose photos. Retrying…`;
  else if (source?.state === "ended") sentence = `${source.name} has ended: choose photos or, to repeat it, start imprint serve with --loop.`;
  if (at("trouble-text").textContent !== sentence) at("trouble-text").textContent = sentence;
  offer("trouble-help", ...help);
  at("trouble").hidden = sentence === "";
}

// probe lets the device classify an empty picture.
async function probe() { await send("/v1/classify", await jpeg(document.createElement("canvas"), 64, 64, 64)); }

// The picture. Its stream is opened once there is a frame, because until then the browser
// would show the page as loading. It is opened again when it breaks.
const picture = at("picture");
const boxes = new Boxes(at("boxes"), picture);
trainAt(() => (at("area").value ? { region: at("area").value } : { at: boxes.at() }));
let streaming = false, frames = false, reopening;
function stream() {
  if (streaming || !frames || document.readyState !== "complete") return;
  clearTimeout(reopening);
  streaming = true;
  picture.src = `/v1/stream.mjpg?${Date.now()}`;
}
function showPicture(shown) {
  for (const id of ["picture", "boxes", "parts", "add-region"]) at(id).hidden = !shown;
  at("blank").hidden = shown;
}
picture.addEventListener("load", () => showPicture(true));
picture.addEventListener("error", () => {
  showPicture(false);
  streaming = false;
  clearTimeout(reopening);
  reopening = setTimeout(stream, 1500);
});
window.addEventListener("load", stream);

// Results arrive faster than the screen refreshes. Draw only the newest.
let newest = null, drawing = false, counted = [];
function draw() {
  drawing = false;
  const r = newest, none = r.voted === "";
  boxes.show(r.boxes ?? []);
  at("label").textContent = !none ? r.voted : !state.classes?.length ? "no classes yet" : r.boxes?.length === 0 ? "nothing found" : "unknown";
  at("label").classList.toggle("none", none);
  at("score").textContent = none ? "" : percent(r.score);
  const unknown = r.top.find((t) => t.label === "unknown")?.score ?? (r.unknown ? 1 - r.score : 0);
  const sure = r.unknown ? 0 : r.score;
  at("sure").value = sure;
  at("sure-text").textContent = percent(sure);
  at("unknown").value = unknown;
  at("unknown-text").textContent = percent(unknown);
  at("top").replaceChildren(...bars(r.top));
  at("device").textContent = r.device || "–";
  at("latency").textContent = `${r.latency_ms.toFixed(r.latency_ms < 10 ? 1 : 0)} ms`;
  at("generation").textContent = r.generation;
  const now = performance.now();
  counted = counted.filter((t) => now - t < 2000);
  at("rate").textContent = counted.length > 1 ? `${(1000 * (counted.length - 1) / (now - counted[0])).toFixed(0)} fps` : "–";
  cards.see(r.voted);
  speak(at("label").textContent);
}

// bars returns one bar for each class, and one for those that the server leaves out.
function bars(top) {
  const bar = (text, share) => {
    const e = make("li", {}, make("bdi", { textContent: text }), ` ${percent(share)}`);
    e.style.setProperty("--share", `${100 * share}%`);
    return e;
  };
  const left = (state.classes?.length ?? 0) + (state.hasUnknown ? 1 : 0) - top.length;
  const list = top.map((t) => bar(t.label, t.score));
  if (left > 0 && top.length > 0) list.push(bar(left === 1 ? "1 other class" : `${left} other classes`, Math.max(0, 1 - top.reduce((sum, t) => sum + t.score, 0))));
  return list;
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

const reconnect = listen({
  connection(connected, status) {
    if (connected && !state.connected) streaming = frames = false; // the server may have restarted
    state.connected = connected;
    state.status = status;
    document.body.classList.toggle("offline", !connected);
    showTrouble();
  },
  state(h) {
    state.health = h;
    const none = h.source.state === "none";
    at("camera").hidden = !none;
    if (!none) camera.stop();
    at("blank").textContent = none ? "No camera yet. Use this device's camera, or choose photos. You can also drop photos here." : "No picture yet";
    frames ||= h.source.state === "ok" || h.source.frames > 0;
    stream();
    showTrouble();
  },
  result(r) {
    newest = r;
    counted.push(performance.now());
    frames = true;
    stream();
    if (picture.hidden && picture.naturalWidth > 0) showPicture(true);
    if (drawing) return;
    drawing = true;
    requestAnimationFrame(draw);
  },
  classes(c) {
    state.classes = c.classes;
    state.hasUnknown = c.unknown.accepted < 1;
    cards.show(c.classes, c.advice);
    review.changed(c.classes);
    at("first").hidden = c.classes.length > 1;
    doubtful.draw();
    at("downloads").hidden = c.classes.length === 0;
    const a = c.accuracy;
    at("accuracy").textContent = c.classes.length === 0 ? "No classes yet. Name one, then hold the button while the camera sees it, or add photos of it."
      : c.classes.length === 1 && c.unknown.accepted === 1 ? "Only one class, so it always wins. Add a second one."
      : c.classes.length === 1 ? c.unknown.unlike ? "Photos unlike these are unknown." : `Other things are unknown, except about ${percent(c.unknown.accepted)}.`
      : a.total === 0 ? "To estimate accuracy, record each class a second time."
      : `Accuracy ${percent(a.right / a.total)} (${Math.round(a.low * 100)}–${percent(a.high)}) on photos left out`;
    at("accuracy").title = a.total === 0 ? "" : `${a.right} of ${a.total} photos`;
    at("passing").hidden = c.unknown.accepted === 1 || c.unknown.unlike === true;
    at("pass").value = Math.round(100 * c.unknown.accepted);
    at("pass-text").textContent = percent(c.unknown.accepted);
    if (c.unknown.accepted < 1 && a.total > 0) {
      const pass = c.unknown.unlike ? "Photos unlike these are unknown" : `About ${percent(c.unknown.accepted)} of other things pass for a class`;
      at("accuracy").textContent += `. ${pass}; ${percent(c.unknown.rejected)} of these photos are unknown.`;
    }
    at("undo").disabled = c.generation === 0;
  },
  regions(r) {
    regions.show(r.regions);
    at("with").hidden = r.regions.length === 0;
  },
  generation(g) { at("generation").textContent = g.generation; },
  teach(t) {
    if (t.state === "holding") recording(t.frames);
    if (t.state === "done" && t.label === at("name").value.trim()) at("name").value = "";
  },
  doubtful(d) { doubtful.show(d); },
  notice(n) {
    // An error of an action that can be tried again says more than the failed reload that may follow it.
    const shown = n.sentence === failed || (n.action === "reload" && !at("again").hidden);
    if (n.ok || !shown) tell(n.sentence, n.ok);
  },
});
