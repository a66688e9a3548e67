// Pictures as JPEG.

const quality = 0.85;

// drawn returns a canvas with a picture, scaled to the given size. The picture is a video
// or an ImageBitmap.
export function drawn(picture, width, height) {
  const canvas = document.createElement("canvas");
  canvas.width = width;
  canvas.height = height;
  const context = canvas.getContext("2d");
  context.imageSmoothingQuality = "high";
  context.drawImage(picture, 0, 0, width, height);
  return canvas;
}

// jpeg encodes a picture, scaled down so that neither side is longer than the given one.
export async function jpeg(picture, width, height, longest) {
  const scale = Math.min(1, longest / Math.max(width, height));
  const canvas = drawn(picture, Math.max(1, Math.round(width * scale)), Math.max(1, Math.round(height * scale)));
  const blob = await new Promise((done) => canvas.toBlob(done, "image/jpeg", quality));
  if (!blob) throw new Error("the browser could not encode the picture");
  return blob;
}
