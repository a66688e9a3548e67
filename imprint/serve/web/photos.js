// Photos that the user chooses or drops. They are classified one after another, and can be
// added to a class.
import { send } from "./api.js";
import { drawn, jpeg } from "./jpeg.js";

const large = 1 << 20; // bytes; larger photos are scaled down before they are sent
const longest = 1280; // pixels, of a photo scaled down
const thumbnail = 96; // pixels
const mostBytes = 12 << 20, mostPhotos = 100; // in one request, below the server's limits
const glance = 400; // ms that the picture shows a photo before the next

const pause = (ms) => new Promise((done) => setTimeout(done, ms));
const make = (tag, props, ...children) => {
  const e = Object.assign(document.createElement(tag), props);
  e.append(...children);
  return e;
};

export const count = (n) => (n === 1 ? "1 photo" : `${n} photos`);

// sendable returns a photo as it is sent. A large photo becomes a smaller JPEG, and so does
// one in Apple's format, which the server can't read but Apple's browser can.
async function sendable(file) {
  if (file.size <= large && !/hei[cf]/.test(file.type)) return file;
  let bitmap;
  try {
    bitmap = await createImageBitmap(file);
  } catch {
    return file; // the server reads more formats, or says what is wrong
  }
  const photo = await jpeg(bitmap, bitmap.width, bitmap.height, longest);
  bitmap.close();
  return photo;
}

// photosOf returns the files that may be photos. A folder has no type.
function photosOf(files) {
  return files.filter((f) => f.type.startsWith("image/") || (f.type === "" && /\.[a-z]{3,4}$/i.test(f.name)));
}

// A Tray holds chosen photos and shows their results. path() is where a photo is
// classified, told shows a sentence, and changed is called with the number of photos.
export class Tray {
  constructor(list, { path, told, changed }) {
    Object.assign(this, { list, path, told, changed, photos: [], showing: false, adding: false });
  }

  // accept returns the photos among files, and tells of the others.
  accept(files) {
    const photos = photosOf([...files]);
    if (photos.length < files.length) this.told(photos.length === 0 ? "Only photos can be added." : `${files.length - photos.length} of ${files.length} files are not photos.`);
    return photos;
  }

  // take puts photos into the tray and classifies them.
  take(files) {
    for (const file of this.accept(files)) {
      const photo = { file, answer: make("span", { textContent: "…" }) };
      photo.element = make("li", { title: file.name }, make("canvas"), make("span", { className: "hidden", textContent: `${file.name}: ` }), photo.answer);
      this.photos = [...this.photos, photo];
      this.list.append(photo.element);
    }
    this.changed(this.photos.length);
    if (!this.showing) this.show();
  }

  // remove takes photos out of the tray.
  remove(photos) {
    for (const p of photos) p.element.remove();
    this.photos = this.photos.filter((p) => !photos.includes(p));
    this.changed(this.photos.length);
  }

  // show classifies the photos in the tray that have no answer yet.
  async show() {
    this.showing = true;
    for (let photo; (photo = this.photos.find((p) => !p.done));) {
      photo.done = true;
      await this.preview(photo);
      const next = pause(glance);
      try {
        const r = await send(this.path(), await sendable(photo.file));
        photo.answer.textContent = r.label === "" ? "no classes yet" : r.unknown ? "unknown" : `${r.label} ${Math.round(r.score * 100)} %`;
      } catch (e) {
        photo.answer.textContent = (e.error ?? e.message).replace(/^in the request: /, ""); // the name stands before it
        photo.element.classList.add("bad");
      }
      await next;
    }
    this.showing = false;
  }

  // preview draws a small picture, which takes less memory than the photo itself.
  async preview({ file, element }) {
    try {
      const bitmap = await createImageBitmap(file, { resizeHeight: thumbnail, resizeQuality: "medium" });
      const canvas = drawn(bitmap, bitmap.width, bitmap.height);
      canvas.setAttribute("aria-hidden", "true");
      element.firstChild.replaceWith(canvas);
      bitmap.close();
    } catch { /* the browser can't read it; the server may */ }
  }

  // train adds photos to a class: the given files, or those in the tray. Each request is
  // one change, which Undo undoes as a whole; the server announces it. It returns whether
  // all went well.
  async train(label, files) {
    if (this.adding) { this.told("Photos are still being added."); return false; }
    const mine = files ? [] : this.photos; // more may come meanwhile
    const photos = files ? this.accept(files) : mine.map((p) => p.file);
    if (photos.length === 0) return false;
    this.adding = true;
    this.told(`Adding ${count(photos.length)} to ${label}…`, true);
    try {
      let form = new FormData(), bytes = 0, n = 0;
      const flush = async () => {
        await send(`/v1/examples?label=${encodeURIComponent(label)}`, form);
        form = new FormData(), bytes = 0, n = 0;
      };
      for (const file of photos) {
        const photo = await sendable(file);
        if (n > 0 && (n === mostPhotos || bytes + photo.size > mostBytes)) await flush();
        form.append("photo", photo, file.name);
        bytes += photo.size;
        n++;
      }
      await flush();
      this.remove(mine);
      return true;
    } catch (e) {
      if (e.again) e.again = () => this.train(label, files);
      this.told(e);
      return false;
    } finally {
      this.adding = false;
    }
  }
}

// filesIn returns dropped files, and the files in dropped folders. It leaves out what can't be read.
async function filesIn(transfer) {
  const files = [...transfer.files]; // the browser forgets these, and the entries, when the event is over
  const entries = [...transfer.items].map((item) => item.webkitGetAsEntry?.()).filter(Boolean);
  if (!entries.some((entry) => entry.isDirectory)) return files;
  const found = [];
  for (let entry; (entry = entries.shift());) {
    try {
      if (entry.isFile) { found.push(await new Promise((done, failed) => entry.file(done, failed))); continue; }
      const reader = entry.createReader(); // returns a part of the folder at a time, at last an empty one
      for (let some; (some = await new Promise((done, failed) => reader.readEntries(done, failed))).length > 0;) entries.push(...some);
    } catch { /* removed meanwhile, or not allowed */ }
  }
  return found;
}

// acceptDrops lets files be dropped anywhere on the page. dropped gets the files and the
// element they were dropped on.
export function acceptDrops(dropped) {
  let over = null;
  const mark = (element) => {
    over?.classList.remove("over");
    over = element;
    over?.classList.add("over");
  };
  const hasFiles = (e) => e.dataTransfer?.types.includes("Files");
  document.addEventListener("dragover", (e) => {
    if (!hasFiles(e)) return;
    e.preventDefault();
    e.dataTransfer.dropEffect = "copy";
    mark(e.target.closest?.(".card") ?? document.querySelector("figure"));
  });
  document.addEventListener("dragleave", (e) => { if (!e.relatedTarget) mark(null); });
  document.addEventListener("drop", (e) => {
    if (!hasFiles(e)) return;
    e.preventDefault();
    mark(null);
    const { target } = e;
    filesIn(e.dataTransfer).then((files) => dropped(files, target));
  });
}
