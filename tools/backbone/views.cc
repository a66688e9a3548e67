// Cuts training views from photos.
//
// A view combines random rectangles of one to four photos: a single one, two blended, one pasted on another, four side
// by side, or one on a plain background. Each rectangle may be mirrored, and its brightness, contrast, saturation and
// hue change. The view may be blurred, sharpened or made noisy.

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <vector>

namespace {

struct Photo {
  const uint8_t* pixels;
  int64_t height, width;
};

enum Mode { kPlain, kBlended, kPasted, kFour, kBackground };

class Random {  // splitmix64
 public:
  explicit Random(uint64_t seed) : s_(seed) {}
  uint64_t next() {
    uint64_t z = s_ += 0x9e3779b97f4a7c15u;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
  }
  float uniform(float low, float high) { return low + (high - low) * (float)(next() >> 40) / (1 << 24); }
  float normal() {  // approximated by a sum of four uniform values
    float s = 0;
    for (int i = 0; i < 4; i++) s += uniform(-1, 1);
    return s * 0.866f;
  }
  bool chance(float p) { return uniform(0, 1) < p; }

 private:
  uint64_t s_;
};

class View {
 public:
  // out receives size×size RGB pixels from −1 to 1.
  View(int size, float* out, uint64_t seed) : size_(size), out_(out), r_(seed) {}

  void make(const Photo* const* photos, Mode mode) {
    const float all = 0.25f;
    switch (mode) {
      case kPlain: put(*photos[0], 0, 0, size_, size_, all, 1); break;
      case kBlended:
        put(*photos[0], 0, 0, size_, size_, all, 1);
        put(*photos[1], 0, 0, size_, size_, all, r_.uniform(0.2f, 0.5f));
        break;
      case kPasted: {
        put(*photos[0], 0, 0, size_, size_, all, 1);
        int w = r_.uniform(0.3f, 0.8f) * size_, h = r_.uniform(0.3f, 0.8f) * size_;
        put(*photos[1], r_.uniform(0, size_ - w), r_.uniform(0, size_ - h), w, h, all, 1);
        break;
      }
      case kFour: {
        int x = r_.uniform(0.35f, 0.65f) * size_, y = r_.uniform(0.35f, 0.65f) * size_;
        put(*photos[0], 0, 0, x, y, 0.6f, 1);
        put(*photos[1], x, 0, size_ - x, y, 0.6f, 1);
        put(*photos[2], 0, y, x, size_ - y, 0.6f, 1);
        put(*photos[3], x, y, size_ - x, size_ - y, 0.6f, 1);
        break;
      }
      case kBackground: {
        background();
        int w = r_.uniform(0.4f, 0.9f) * size_, h = r_.uniform(0.4f, 0.9f) * size_;
        put(*photos[0], r_.uniform(0, size_ - w), r_.uniform(0, size_ - h), w, h, 0.5f, 1);
        break;
      }
    }
    float f = r_.uniform(0, 1);
    if (f < 0.1f) soften(r_.uniform(0.3f, 1));
    else if (f < 0.25f) soften(-r_.uniform(0.3f, 1.2f));
    if (r_.chance(0.1f)) {
      float by = r_.uniform(2, 12);
      for (int i = 0; i < 3 * size_ * size_; i++) out_[i] += by * r_.normal();
    }
    for (int i = 0; i < 3 * size_ * size_; i++) out_[i] = (std::nearbyint(std::clamp(out_[i], 0.0f, 255.0f)) - 128) / 128;
  }

 private:
  // Draws a random rectangle of a photo into the given rectangle of the view. smallest is the minimum area of the
  // random rectangle, as a proportion of the photo's area.
  void put(const Photo& p, int left, int top, int w, int h, float smallest, float opacity) {
    float m[3][3], add[3];
    color(m, add);
    // The rectangle is chosen for a view of 128×128 pixels. A smaller view shows only a part of it, unless the photo
    // is small too.
    float share = std::min(1.0f, size_ / std::min(128.0f, (float)std::min(p.width, p.height))), cw, ch;
    do {
      float area = r_.uniform(smallest, 1) * p.width * p.height, aspect = std::exp(r_.uniform(-0.29f, 0.29f)) * w / h;
      cw = std::sqrt(area * aspect);
      ch = std::sqrt(area / aspect);
      smallest *= 0.9f;
    } while (cw > p.width || ch > p.height);
    cw *= share;
    ch *= share;
    float x0 = r_.uniform(0, p.width - cw), y0 = r_.uniform(0, p.height - ch), dx = cw / w, dy = ch / h;
    if (r_.chance(0.5f)) {
      x0 += cw;
      dx = -dx;
    }
    int many = std::max(1, (int)std::ceil(std::max(std::fabs(dx), dy) - 0.3f));  // samples per pixel in each direction
    columns_.resize(w * many);
    for (int j = 0; j < w * many; j++) {
      float fx = std::clamp(x0 + dx * (j + 0.5f) / many - 0.5f, 0.0f, p.width - 1.001f);
      columns_[j] = {3 * (int)fx, fx - (int)fx};
    }
    float weight = 1.0f / (many * many);
    line_.resize(3 * w);
    for (int i = 0; i < h; i++) {
      std::fill(line_.begin(), line_.end(), 0.0f);
      for (int s = 0; s < many; s++) {
        float fy = std::clamp(y0 + dy * (i * many + s + 0.5f) / many - 0.5f, 0.0f, p.height - 1.001f);
        const uint8_t *a = p.pixels + (int)fy * p.width * 3, *b = a + 3 * p.width;
        fy -= (int)fy;
        for (int j = 0; j < w * many; j++) {
          const Column& at = columns_[j];
          float *l = &line_[j / many * 3], q00 = (1 - fy) * (1 - at.part), q01 = (1 - fy) * at.part, q10 = fy * (1 - at.part), q11 = fy * at.part;
          for (int c = 0; c < 3; c++)
            l[c] += q00 * a[at.at + c] + q01 * a[at.at + 3 + c] + q10 * b[at.at + c] + q11 * b[at.at + 3 + c];
        }
      }
      float* o = out_ + ((top + i) * size_ + left) * 3;
      for (int j = 0; j < 3 * w; j += 3, o += 3)
        for (int c = 0; c < 3; c++) {
          float v = weight * (m[c][0] * line_[j] + m[c][1] * line_[j + 1] + m[c][2] * line_[j + 2]) + add[c];
          v = std::clamp(v, 0.0f, 255.0f);
          o[c] = opacity < 1 ? o[c] + opacity * (v - o[c]) : v;
        }
    }
  }

  void color(float m[3][3], float add[3]) {
    float gain = 1, light = 0, saturation = 1, turn = 0;
    if (r_.chance(0.8f)) {
      gain = std::exp(0.2f * r_.normal());
      light = 20 * r_.normal();
      saturation = r_.chance(0.05f) ? 0 : std::exp(r_.uniform(-0.6f, 0.4f));
      turn = r_.chance(0.3f) ? 0.4f * r_.normal() : 0;
    }
    // Rotate the hue about the gray axis, scale the saturation, then the contrast about the middle.
    float co = std::cos(turn), k = (1 - co) / 3, si = std::sin(turn) * 0.57735f;
    const float gray[3] = {0.299f, 0.587f, 0.114f}, t[3] = {k + co, k - si, k + si};
    for (int i = 0; i < 3; i++) {
      float tint = std::exp(0.05f * r_.normal());
      for (int j = 0; j < 3; j++) m[i][j] = tint * gain * (saturation * t[(j - i + 3) % 3] + (1 - saturation) * gray[j]);
      add[i] = 115 * (1 - gain) + light;
    }
  }

  // Fills the view with a color gradient, often white or gray, as in product photos.
  void background() {
    float from[3], step[2][3];
    bool gray = r_.chance(0.6f);
    for (int c = 0; c < 3; c++) {
      from[c] = gray && c ? from[0] : gray && r_.chance(0.5f) ? 255 : r_.uniform(0, 255);
      for (auto& s : step) s[c] = r_.chance(0.5f) ? 0 : r_.uniform(-40, 40) / size_;
    }
    for (int i = 0; i < size_; i++)
      for (int j = 0; j < size_; j++)
        for (int c = 0; c < 3; c++) out_[(i * size_ + j) * 3 + c] = from[c] + i * step[0][c] + j * step[1][c];
  }

  // Moves every pixel toward the mean of its neighborhood by a proportion share, or away from it if share is negative.
  void soften(float share) {
    std::vector<float> was(out_, out_ + 3 * size_ * size_);
    for (int i = 1; i + 1 < size_; i++)
      for (int k = 3; k < 3 * size_ - 3; k++) {
        const float* w = &was[i * size_ * 3 + k];
        float sum = 0;
        for (int y = -1; y <= 1; y++)
          for (int x = -3; x <= 3; x += 3) sum += w[y * size_ * 3 + x];
        out_[i * size_ * 3 + k] += share * (sum / 9 - *w);
      }
  }

  struct Column { int at; float part; };
  int size_;
  float* out_;
  Random r_;
  std::vector<Column> columns_;
  std::vector<float> line_;
};

}  // namespace

// Makes n views of size×size RGB pixels from −1 to 1. index has four photos for each view.
extern "C" void make_views(float* out, int n, int size, const int64_t* photos, const int64_t* index, const int32_t* modes, uint64_t seed) {
  auto* all = reinterpret_cast<const Photo*>(photos);
  for (int i = 0; i < n; i++, out += 3 * size * size) {
    const Photo* four[4];
    for (int k = 0; k < 4; k++) four[k] = all + index[4 * i + k];
    View(size, out, seed + ((uint64_t)i << 32)).make(four, (Mode)modes[i]);
  }
}
