// The camera of the device that shows the page. Its frames are posted to the server, which
// uses them like those of a camera of its own.
import { Refusal, send } from "./api.js";
import { jpeg } from "./jpeg.js";

const longest = 640; // pixels; backbones scale down anything larger
const period = 100; // ms between frames
const afterError = 1000; // ms before the next frame

const pause = (ms) => new Promise((done) => setTimeout(done, ms));

// A Camera is started and stopped by a button. It calls told with a sentence, which is
// empty when all is well, and with what may help: "choose" photos or "again".
export class Camera {
  constructor(button, told) {
    this.button = button;
    this.told = told;
    this.running = null; // the current run
    button.addEventListener("click", () => (this.running ? this.stop() : this.start()));
    document.addEventListener("visibilitychange", () => { if (document.hidden) this.stop("The camera stopped because the page was hidden."); });
    window.addEventListener("pagehide", () => this.stop());
  }

  stop(sentence = "", help = sentence && "again") {
    const run = this.running;
    if (!run) return;
    this.running = null;
    run.media?.getTracks().forEach((track) => track.stop());
    this.button.textContent = "Use this device's camera";
    this.told(sentence, help);
  }

  async start() {
    if (!window.isSecureContext || !navigator.mediaDevices?.getUserMedia) {
      this.told("Over plain HTTP, browsers allow the camera only to pages on localhost: start imprint serve with --tls self-signed, or choose photos; phones then offer to take one.", "choose");
      return;
    }
    const run = this.running = {};
    const isOver = () => this.running !== run;
    this.button.textContent = "Stop the camera";
    this.told("");
    const video = Object.assign(document.createElement("video"), { muted: true, playsInline: true });
    try {
      const media = await navigator.mediaDevices.getUserMedia({ video: { width: { ideal: 640 }, height: { ideal: 480 }, facingMode: { ideal: "environment" } } });
      run.media = media;
      if (isOver()) { // stopped while the browser asked for permission
        media.getTracks().forEach((track) => track.stop());
        return;
      }
      media.getVideoTracks()[0].addEventListener("ended", () => { if (!isOver()) this.stop("The camera was unplugged, or its permission withdrawn."); });
      video.srcObject = media;
      await video.play();
    } catch (e) {
      if (!isOver()) this.stop(...reason(e));
      return;
    }
    await this.post(video, isOver);
    video.srcObject = null;
  }

  // post sends one frame at a time. Frames that come meanwhile are dropped.
  async post(video, isOver) {
    while (!isOver()) {
      const due = performance.now() + period;
      if (video.videoWidth === 0) { await pause(period); continue; } // no frame yet
      try {
        await send("/v1/frames", await jpeg(video, video.videoWidth, video.videoHeight, longest));
      } catch (e) {
        if (isOver()) return;
        if (!(e instanceof Refusal)) { this.stop(`The camera failed: ${e.message}.`); return; }
        if (e.status === 409) { this.stop(e.message, ""); return; } // the server has a camera now
        if (e.status !== 503) await pause(afterError); // 503: another client's frame was newer
      }
      await pause(Math.max(0, due - performance.now()));
    }
  }
}

// reason says why the browser gives no camera, and what may help.
function reason(e) {
  switch (e.name) {
    case "NotAllowedError":
    case "SecurityError":
      return ["The browser refused the camera: allow it in the settings of this page, then try again."];
    case "NotFoundError":
    case "OverconstrainedError":
      return ["This device has no camera: connect one, or choose photos.", "choose"];
    case "NotReadableError":
    case "AbortError":
      return ["The camera can't be used; another program may be using it: close that, then try again."];
  }
  return [`The camera can't be used: ${e.message}. Try again, or choose photos.`, "choose"];
}
