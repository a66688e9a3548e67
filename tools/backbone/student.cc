// The forward and backward pass of MobileNet v1 0.25 in float32, for training on a CPU.
//
// The pass processes a batch layer by layer, because batch normalization needs sums over the whole batch. Within a
// layer it processes one image after the other, so that an image stays in the cache. For the backward pass it keeps only the
// outputs of convolutions before normalization, and recomputes activations where they are read.
//
// The teacher is a network of the same shape and uses the same pass, one view at a time.
//
// All tensors are NHWC. A Student starts no threads.

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <new>
#include <vector>

namespace {

typedef float v8 __attribute__((vector_size(32), aligned(4), may_alias));

inline v8 load(const float* p) { return *reinterpret_cast<const v8*>(p); }
inline void store(float* p, v8 x) { *reinterpret_cast<v8*>(p) = x; }
inline v8 all(float x) { return v8{x, x, x, x, x, x, x, x}; }

// Vectors start on a cache line, so that no load of eight floats crosses a line.
template <class T>
struct Aligned {
  typedef T value_type;
  Aligned() = default;
  template <class U> Aligned(const Aligned<U>&) {}
  T* allocate(size_t n) { return static_cast<T*>(operator new(n * sizeof(T), std::align_val_t(64))); }
  void deallocate(T* p, size_t) { operator delete(p, std::align_val_t(64)); }
  bool operator==(const Aligned&) const { return true; }
  bool operator!=(const Aligned&) const { return false; }
};
typedef std::vector<float, Aligned<float>> Floats;

struct Block { int in, out, stride; };
const Block kBlocks[] = {{8, 16, 1},    {16, 32, 2},   {32, 32, 1},   {32, 64, 2},   {64, 64, 1},   {64, 128, 2},  {128, 128, 1},
                         {128, 128, 1}, {128, 128, 1}, {128, 128, 1}, {128, 128, 1}, {128, 256, 2}, {256, 256, 1}};
const int kLayers = 27;

enum Kind { kFirst, kDepthwise, kPointwise };

struct Layer {
  Kind kind;
  int cin, cout, hin, hout, stride;
  size_t weight;   // offset of its weights in the flat vector of weights
  size_t channel;  // offset of its channels in vectors with one value per channel
  int in_size() const { return hin * hin * cin; }
  int out_size() const { return hout * hout * cout; }
};

// y[m][n] = x[m][k]·w[k][n], with RM rows and 8·RN columns in registers at a time.
template <int RM, int RN>
void rows(const float* __restrict x, const float* __restrict w, float* __restrict y, int m, int k, int n) {
  for (int j = 0; j < n; j += 8 * RN) {
    for (int i = 0; i + RM <= m; i += RM) {
      v8 acc[RM][RN] = {};
      const float* xp = x + (size_t)i * k;
      const float* wp = w + j;
      for (int p = 0; p < k; p++, wp += n) {
        v8 b[RN];
        for (int c = 0; c < RN; c++) b[c] = load(wp + 8 * c);
        for (int r = 0; r < RM; r++) {
          v8 a = all(xp[(size_t)r * k + p]);
          for (int c = 0; c < RN; c++) acc[r][c] += a * b[c];
        }
      }
      for (int r = 0; r < RM; r++)
        for (int c = 0; c < RN; c++) store(y + (size_t)(i + r) * n + j + 8 * c, acc[r][c]);
    }
  }
}

void multiply(const float* x, const float* w, float* y, int m, int k, int n) {
  if (n % 16) return rows<8, 1>(x, w, y, m, k, n);  // the only such layer has at most 4096 positions, a multiple of 8
  int done = m / 6 * 6;
  rows<6, 2>(x, w, y, done, k, n);
  x += (size_t)done * k;
  y += (size_t)done * n;
  if (m - done >= 4) {
    rows<4, 2>(x, w, y, 4, k, n);
    x += 4 * k;
    y += 4 * n;
    done += 4;
  }
  rows<1, 2>(x, w, y, m - done, k, n);
}

// dw[k][n] += xᵀ[k][m]·dy[m][n]
template <int RK, int RN>
void outer(const float* __restrict x, const float* __restrict dy, float* __restrict dw, int m, int k, int n) {
  for (int p = 0; p < k; p += RK) {
    for (int j = 0; j < n; j += 8 * RN) {
      v8 acc[RK][RN] = {};
      for (int i = 0; i < m; i++) {
        v8 b[RN];
        for (int c = 0; c < RN; c++) b[c] = load(dy + (size_t)i * n + j + 8 * c);
        for (int r = 0; r < RK; r++) {
          v8 a = all(x[(size_t)i * k + p + r]);
          for (int c = 0; c < RN; c++) acc[r][c] += a * b[c];
        }
      }
      for (int r = 0; r < RK; r++)
        for (int c = 0; c < RN; c++) {
          float* d = dw + (size_t)(p + r) * n + j + 8 * c;
          store(d, load(d) + acc[r][c]);
        }
    }
  }
}

class Student {
 public:
  // size is the width and height of a view, a multiple of 32.
  Student(int batch, int size, bool learns) : batch_(batch), size_(size) {
    size_t w = 0, c = 0;
    int h = size / 2;
    auto add = [&](Kind kind, int cin, int cout, int hin, int hout, int stride, int weights) {
      layers_.push_back({kind, cin, cout, hin, hout, stride, w, c});
      w += weights;
      c += cout;
    };
    add(kFirst, 3, 8, size, h, 2, 27 * 8);
    for (const Block& b : kBlocks) {
      add(kDepthwise, b.in, b.in, h, h / b.stride, b.stride, 9 * b.in);
      h /= b.stride;
      add(kPointwise, b.in, b.out, h, h, 1, b.in * b.out);
    }
    weights_ = w;
    w_.resize(w);
    channels_ = c;
    input_.resize((size_t)batch * size * size * 3);
    in_ = input_.data();
    for (const Layer& l : layers_) z_.emplace_back((size_t)batch * l.out_size());
    size_t largest = 0;
    for (const Layer& l : layers_) largest = std::max(largest, (size_t)std::max(l.out_size(), l.kind == kFirst ? 0 : l.in_size()));
    if (learns) for (auto& g : grad_) g.resize(batch * largest);
    size_t around = 0;
    for (const Layer& l : layers_) around = std::max(around, padded(l));
    a_.resize(around);
    da_.resize(around);
    dz_.resize(largest);
    mean_.resize(c);
    inverse_.resize(c);
    scale_.resize(c);
    shift_.resize(c);
  }

  size_t weights() const { return weights_; }
  size_t channels() const { return channels_; }

  float* input(int n) { return const_cast<float*>(in_) + (size_t)n * size_ * size_ * 3; }

  // Makes this network read view n of another network.
  void look_at(Student* other, int n) { in_ = other->input(n); }

  // Runs the batch. bn contains gamma and then beta of every channel. If frozen is set, they are the factor and offset
  // of the convolution's output. Otherwise the batch is normalized first, and mean and variance receive its moments. A
  // step above 0 rounds activations to 255 steps of that size. map receives the output of the last layer at each
  // position, before it is clipped to 0…6.
  void forward(const float* w, const float* bn, bool frozen, float step, float* mean, float* variance, float* map) {
    frozen_ = frozen;
    step_ = step;
    w = keep(w);
    for (int li = 0; li < kLayers; li++) {
      const Layer& l = layers_[li];
      std::vector<double> total(2 * l.cout, 0.0);
      Floats sums(2 * l.cout);
      for (int n = 0; n < batch_; n++) {
        const float* x = activation(li, n, a_.data());
        float* z = &z_[li][(size_t)n * l.out_size()];
        convolve(l, x, w + l.weight, z);
        if (frozen) continue;
        std::fill(sums.begin(), sums.end(), 0.0f);
        moments(z, l.hout * l.hout, l.cout, sums.data());
        for (int c = 0; c < 2 * l.cout; c++) total[c] += sums[c];
      }
      double count = (double)batch_ * l.hout * l.hout;
      for (int c = 0; c < l.cout; c++) {
        size_t k = l.channel + c;
        if (frozen) {
          mean_[k] = 0;
          inverse_[k] = 1;
        } else {
          double m = total[c] / count, v = std::max(total[l.cout + c] / count - m * m, 0.0);
          mean[k] = mean_[k] = m;
          variance[k] = v;
          inverse_[k] = 1 / std::sqrt(v + 1e-3);
        }
        scale_[k] = bn[k] * inverse_[k];
        shift_[k] = bn[channels_ + k] - mean_[k] * scale_[k];
      }
    }
    const Layer& l = layers_[kLayers - 1];
    const float* z = z_[kLayers - 1].data();
    for (int i = 0; i < batch_ * l.hout * l.hout; i++)
      for (int c = 0; c < l.cout; c++, z++, map++) *map = *z * scale_[l.channel + c] + shift_[l.channel + c];
  }

  // Computes the gradients of weights, gamma and beta from the gradient of the map, after forward. For layers before
  // first, the gradients are 0.
  void backward(const float* w, const float* dmap, float* dw, float* dbn, int first) {
    std::fill(dw, dw + weights_, 0.0f);
    std::fill(dbn, dbn + 2 * channels_, 0.0f);
    w = keep(w);
    const float* dy = dmap;
    int next = 0;
    {
      const Layer& l = layers_[kLayers - 1];
      const float* z = z_[kLayers - 1].data();
      std::vector<double> sums(2 * l.cout, 0.0);
      for (int i = 0; i < batch_ * l.hout * l.hout; i++)
        for (int c = 0; c < l.cout; c++, z++, dmap++) {
          sums[c] += *dmap * (*z - mean_[l.channel + c]) * inverse_[l.channel + c];
          sums[l.cout + c] += *dmap;
        }
      add_channel(l, sums, dbn);
    }
    for (int li = kLayers - 1; li >= first; li--) {
      const Layer& l = layers_[li];
      size_t nw = li + 1 < kLayers ? layers_[li + 1].weight - l.weight : weights_ - l.weight;
      Floats transposed;
      if (l.kind == kPointwise && li > first) {
        transposed.resize(nw);
        for (int i = 0; i < l.cin; i++)
          for (int o = 0; o < l.cout; o++) transposed[(size_t)o * l.cin + i] = w[l.weight + (size_t)i * l.cout + o];
      }
      float count = (float)batch_ * l.hout * l.hout;
      Floats k1(l.cout), k2(l.cout), k3(l.cout);  // dz = k1·dy + k2 + k3·z
      for (int c = 0; c < l.cout; c++) {
        size_t k = l.channel + c;
        k1[c] = scale_[k];
        if (frozen_) continue;
        float dgamma = dbn[k], dbeta = dbn[channels_ + k];
        k3[c] = -scale_[k] * inverse_[k] * dgamma / count;
        k2[c] = -scale_[k] * dbeta / count - k3[c] * mean_[k];
      }
      float *own = dw + l.weight, *dx = grad_[next].data();
      std::vector<double> sums(li > 0 ? 2 * layers_[li - 1].cout : 0, 0.0);
      for (int n = 0; n < batch_; n++) {
        const float* x = activation(li, n, a_.data());
        const float* z = &z_[li][(size_t)n * l.out_size()];
        const float* g = dy + (size_t)n * l.out_size();
        float* dz = dz_.data();
        const float *f1 = k1.data(), *f2 = k2.data(), *f3 = k3.data();
        const int size = l.out_size(), channels = l.cout;
        for (int i = 0; i < size; i += channels)
          for (int c = 0; c < channels; c += 8)
            store(dz + i + c, load(f1 + c) * load(g + i + c) + load(f2 + c) + load(f3 + c) * load(z + i + c));
        switch (l.kind) {
          case kFirst: first_weights(l, x, dz, own); break;
          case kDepthwise: depthwise_back(l, x, w + l.weight, dz, own, da_.data()); break;
          case kPointwise:
            outer<4, 2>(x, dz, own, l.hout * l.hout, l.cin, l.cout);
            if (li > first) multiply(dz, transposed.data(), da_.data(), l.hout * l.hout, l.cout, l.cin);
            break;
        }
        if (li > first) {
          const Layer& p = layers_[li - 1];
          through_activation(p, li - 1, n, da_.data(), dx + (size_t)n * p.out_size(), sums.data());
        }
      }
      if (li > first) add_channel(layers_[li - 1], sums, dbn);
      dy = dx;
      next = 1 - next;
    }
  }

 private:
  const float* keep(const float* w) {
    std::copy(w, w + weights_, w_.begin());
    return w_.data();
  }

  static size_t padded(const Layer& l) { return (size_t)(l.hin + 2) * (l.hin + 2) * l.cin; }

  // Returns the input of layer li for image n. For a depthwise layer, the input has a border of zeros. SAME padding
  // adds one position on each side for stride 1. For stride 2 and an even size it adds one position at the end only.
  const float* activation(int li, int n, float* a) const {
    const Layer& l = layers_[li];
    if (l.kind == kFirst) {
      const float* x = in_ + (size_t)n * l.in_size();
      std::memset(a, 0, padded(l) * sizeof(float));
      for (int i = 0; i < l.hin; i++) std::memcpy(a + (size_t)i * (l.hin + 2) * 3, x + (size_t)i * l.hin * 3, l.hin * 3 * sizeof(float));
      return a;
    }
    const Layer& p = layers_[li - 1];
    const float* z = &z_[li - 1][(size_t)n * p.out_size()];
    int border = 0;
    float* to = a;
    if (l.kind == kDepthwise) {
      std::memset(a, 0, padded(l) * sizeof(float));
      border = 2 * l.cin;
      if (l.stride == 1) to += (l.hin + 2) * l.cin + l.cin;
    }
    // Local copies of members let the compiler see that no store changes them.
    const float *scale = &scale_[p.channel], *shift = &shift_[p.channel];
    const int side = l.hin, channels = l.cin;
    const float step = step_;
    const v8 zero = {}, six = all(6);
    for (int i = 0; i < side; i++, to += border)
      for (int j = 0; j < side; j++, z += channels, to += channels)
        for (int c = 0; c < channels; c += 8) {
          v8 y = load(z + c) * load(scale + c) + load(shift + c);
          y = y > zero ? y : zero;
          y = y < six ? y : six;
          if (step > 0) {
            y /= step;
            for (int e = 0; e < 8; e++) y[e] = std::min(std::nearbyint(y[e]), 255.0f);
            y *= step;
          }
          store(to + c, y);
        }
    return a;
  }

  // Sets the gradient of activations to 0 where they are clipped, and sums the gradients of gamma and beta. If a
  // depthwise layer reads the activations, da has a border.
  void through_activation(const Layer& l, int li, int n, const float* da, float* dy, double* sums) const {
    const float* z = &z_[li][(size_t)n * l.out_size()];
    int border = 0;
    if (li + 1 < kLayers && layers_[li + 1].kind == kDepthwise) {
      border = 2 * l.cout;
      if (layers_[li + 1].stride == 1) da += (l.hout + 2) * l.cout + l.cout;
    }
    Floats sg(l.cout), sb(l.cout);
    float *gamma = sg.data(), *beta = sb.data();
    const float *scale = &scale_[l.channel], *shift = &shift_[l.channel];
    const int side = l.hout, channels = l.cout;
    const v8 zero = {}, six = all(6);
    for (int i = 0; i < side; i++, da += border)
      for (int j = 0; j < side; j++, z += channels, dy += channels, da += channels)
        for (int c = 0; c < channels; c += 8) {
          v8 v = load(z + c), y = v * load(scale + c) + load(shift + c), g = load(da + c);
          g = y > zero ? g : zero;
          g = y < six ? g : zero;
          store(dy + c, g);
          store(beta + c, load(beta + c) + g);
          store(gamma + c, load(gamma + c) + g * v);
        }
    for (int c = 0; c < channels; c++) {
      size_t k = l.channel + c;
      sums[c] += (gamma[c] - beta[c] * mean_[k]) * inverse_[k];
      sums[channels + c] += beta[c];
    }
  }

  void add_channel(const Layer& l, const std::vector<double>& sums, float* dbn) const {
    for (int c = 0; c < l.cout; c++) {
      dbn[l.channel + c] += sums[c];
      dbn[channels_ + l.channel + c] += sums[l.cout + c];
    }
  }

  static void moments(const float* z, int places, int channels, float* sums) {
    for (int i = 0; i < places; i++)
      for (int c = 0; c < channels; c += 8) {
        v8 v = load(z + (size_t)i * channels + c);
        store(sums + c, load(sums + c) + v);
        store(sums + channels + c, load(sums + channels + c) + v * v);
      }
  }

  static void convolve(const Layer& l, const float* x, const float* w, float* z) {
    int wide = l.hin + 2;
    switch (l.kind) {
      case kFirst:
        for (int i = 0; i < l.hout; i++)
          for (int j = 0; j < l.hout; j += 4) {
            v8 acc[4] = {};
            for (int ky = 0; ky < 3; ky++) {
              const float* p = x + ((2 * i + ky) * wide + 2 * j) * 3;
              for (int t = 0; t < 9; t++) {
                v8 b = load(w + (ky * 9 + t) * 8);
                for (int r = 0; r < 4; r++) acc[r] += all(p[6 * r + t]) * b;
              }
            }
            for (int r = 0; r < 4; r++) store(z + (i * l.hout + j + r) * 8, acc[r]);
          }
        break;
      case kDepthwise:
        for (int i = 0; i < l.hout; i++)
          for (int c = 0; c < l.cin; c += 8) {
            v8 k[9];
            for (int t = 0; t < 9; t++) k[t] = load(w + t * l.cin + c);
            for (int j = 0; j < l.hout; j++) {
              const float* p = x + ((i * l.stride) * wide + j * l.stride) * l.cin + c;
              v8 acc = {};
              for (int t = 0; t < 9; t++) acc += k[t] * load(p + ((t / 3) * wide + t % 3) * l.cin);
              store(z + (i * l.hout + j) * l.cin + c, acc);
            }
          }
        break;
      case kPointwise: multiply(x, w, z, l.hout * l.hout, l.cin, l.cout); break;
    }
  }

  static void first_weights(const Layer& l, const float* x, const float* dz, float* dw) {
    int wide = l.hin + 2;
    for (int ky = 0; ky < 3; ky++) {
      v8 acc[9] = {};
      for (int i = 0; i < l.hout; i++)
        for (int j = 0; j < l.hout; j++) {
          const float* p = x + ((2 * i + ky) * wide + 2 * j) * 3;
          v8 g = load(dz + (i * l.hout + j) * 8);
          for (int t = 0; t < 9; t++) acc[t] += all(p[t]) * g;
        }
      for (int t = 0; t < 9; t++) store(dw + (ky * 9 + t) * 8, load(dw + (ky * 9 + t) * 8) + acc[t]);
    }
  }

  static void depthwise_back(const Layer& l, const float* x, const float* w, const float* dz, float* dw, float* da) {
    int wide = l.hin + 2;
    std::memset(da, 0, padded(l) * sizeof(float));
    for (int c = 0; c < l.cin; c += 8) {
      v8 k[9], acc[9] = {};
      for (int t = 0; t < 9; t++) k[t] = load(w + t * l.cin + c);
      for (int i = 0; i < l.hout; i++)
        for (int j = 0; j < l.hout; j++) {
          size_t at = ((size_t)(i * l.stride) * wide + j * l.stride) * l.cin + c;
          v8 g = load(dz + (i * l.hout + j) * l.cin + c);
          for (int t = 0; t < 9; t++) {
            size_t o = at + ((t / 3) * wide + t % 3) * l.cin;
            acc[t] += g * load(x + o);
            store(da + o, load(da + o) + g * k[t]);
          }
        }
      for (int t = 0; t < 9; t++) store(dw + t * l.cin + c, load(dw + t * l.cin + c) + acc[t]);
    }
  }

  int batch_, size_;
  bool frozen_ = false;
  float step_ = 0;
  size_t weights_, channels_;
  std::vector<Layer> layers_;
  Floats w_, input_, a_, da_, dz_;
  const float* in_;
  std::vector<Floats> z_;
  Floats grad_[2];
  Floats mean_, inverse_, scale_, shift_;  // y = z·scale + shift
};

}  // namespace

extern "C" {
Student* student_new(int batch, int size, int learns) { return new Student(batch, size, learns != 0); }
void student_free(Student* s) { delete s; }
int64_t student_weights(Student* s) { return s->weights(); }
int64_t student_channels(Student* s) { return s->channels(); }
float* student_input(Student* s) { return s->input(0); }
void student_forward(Student* s, const float* w, const float* bn, int frozen, float step, float* mean, float* variance, float* map) {
  s->forward(w, bn, frozen != 0, step, mean, variance, map);
}
void student_backward(Student* s, const float* w, const float* dmap, float* dw, float* dbn, int first) { s->backward(w, dmap, dw, dbn, first); }
// Writes the output of a frozen network of batch size 1 for n views of s to map.
void student_teach(Student* teacher, Student* s, int n, const float* w, const float* bn, float* map, int64_t places) {
  for (int i = 0; i < n; i++, map += 256 * places) {
    teacher->look_at(s, i);
    teacher->forward(w, bn, true, 0, nullptr, nullptr, map);
  }
}
// Performs one step of Adam. b1 and b2 correct the bias of the moments.
void adam(float* p, float* m, float* v, const float* g, int64_t n, float rate, float b1, float b2) {
  for (int64_t i = 0; i < n; i++) {
    m[i] = 0.9f * m[i] + 0.1f * g[i];
    v[i] = 0.99f * v[i] + 0.01f * g[i] * g[i];
    p[i] -= rate * m[i] * b1 / (std::sqrt(v[i] * b2) + 1e-8f);
  }
}
}
