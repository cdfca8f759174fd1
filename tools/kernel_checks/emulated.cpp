// The CUDA launchers compiled for the host, behind one entry: an operation's name and its arguments in flat arrays.
// A library for Python, and with CALIG_STANDALONE a program that runs the problems of a file, for the sanitizers.
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>
#include <vector>

#include "../../csrc/accumulate_gradients/accumulate_gradients_cuda.h"
#include "../../csrc/activation_backward/activation_backward_cuda.h"
#include "../../csrc/attention_gradient/attention_gradient_cuda.h"
#include "../../csrc/fuse_rollout/fuse_rollout_cuda.h"
#include "../../csrc/interpolate_path/interpolate_path_cuda.h"
#include "../../csrc/norm_backward/norm_backward_cuda.h"

namespace {

using namespace calig_fast;

// An array whose ends AddressSanitizer guards; malloc gives it 16-byte alignment, which the kernels ask for.
template <typename T>
class Exact {
 public:
  explicit Exact(size_t count) : data_(static_cast<T*>(std::malloc(count * sizeof(T)))) {}
  ~Exact() { std::free(data_); }
  Exact(const Exact&) = delete;
  T* get() const { return data_; }

 private:
  T* data_;
};

const int64_t* int64s(void* p) {
  return static_cast<const int64_t*>(p);
}

// offsets, inputs, values; inputs, segments
cudaError_t make_steps(void** b, const int64_t* n, const Exact<int64_t>& begin, const Exact<PathStep>& steps) {
  return path_steps_cuda(
      {n[0], n[1], int64s(b[0]), int64s(b[1]), static_cast<const double*>(b[2]), begin.get(), steps.get()}, nullptr);
}

cudaError_t interpolate(void** b, const int64_t* n) {
  // start, end, offsets, inputs, nodes, points; tokens, width, inputs, segments, scalar
  const Exact<int64_t> begin(n[2] + 1);
  const Exact<PathStep> steps(n[3]);
  if (const cudaError_t failed = make_steps(b + 2, n + 2, begin, steps); failed != cudaSuccess) return failed;
  return interpolate_path_cuda(
      {static_cast<Scalar>(n[4]), b[0], b[1], b[5], n[0], n[1], n[2], int64s(b[2]), begin.get(), steps.get()}, nullptr);
}

cudaError_t accumulate(void** b, const int64_t* n) {
  // gradients 2, directions 2, offsets, inputs, weights, phi, r, lig; tokens, widths 2, inputs, segments, scalar,
  // pairs, whether there is lig
  const Exact<int64_t> begin(n[3] + 1);
  const Exact<PathStep> steps(n[4]);
  if (const cudaError_t failed = make_steps(b + 4, n + 3, begin, steps); failed != cudaSuccess) return failed;
  return accumulate_gradients_cuda({static_cast<Scalar>(n[5]),
                                    static_cast<int>(n[6]),
                                    {b[0], b[1]},
                                    {b[2], b[3]},
                                    {n[1], n[2]},
                                    n[0],
                                    n[3],
                                    int64s(b[4]),
                                    begin.get(),
                                    steps.get(),
                                    b[7],
                                    b[8],
                                    n[7] ? b[9] : nullptr},
                                   nullptr);
}

cudaError_t fuse(void** b, const int64_t* n, const double* x) {
  // relevance, attention, offsets, row, identity, row_out, identity_out; tokens, inputs, scalar, scales 2, normalise,
  // entries of attention, tokens of the largest map that may be held
  const Exact<RolloutInput> inputs(n[1]);
  const Exact<double> measures(most_rollout_runs(n[0], n[1]));
  const size_t element = static_cast<Scalar>(n[2]) == Scalar::f64 ? sizeof(double) : sizeof(float);
  const Exact<char> partial(most_rollout_partials(n[0], n[6]) * element);
  return fuse_rollout_cuda({static_cast<Scalar>(n[2]), n[0], n[1], int64s(b[2]), b[0], b[1], b[3], b[4], x[0], x[1],
                            static_cast<RolloutScale>(n[3]), static_cast<RolloutScale>(n[4]), n[5] != 0, b[5], b[6],
                            inputs.get(), measures.get(), partial.get()},
                           nullptr, n[7]);
}

cudaError_t norm(void** b, const int64_t* n) {
  // gradient, x, mean, deviation, weight, residual, out; rows, width, scalar, rows a team
  return norm_backward_cuda({static_cast<Scalar>(n[2]), n[1], b[0], b[1], b[2], b[3], b[4], b[5], b[6]}, n[0], nullptr,
                            n[3]);
}

cudaError_t activation(void** b, const int64_t* n) {
  // gradient, inner, out; rows, width, scalar, kind, gated
  return activation_backward_cuda(
      {static_cast<Scalar>(n[2]), static_cast<Activation>(n[3]), n[4] != 0, n[1], b[0], b[1], b[2]}, n[0], nullptr);
}

cudaError_t maps(void** b, const int64_t* n, const double* x) {
  // gradient, qkv, lse, offsets, bias, maps; rows, heads, size, segments, longest, scalar, positive, the bias's side
  return attention_gradient_cuda({static_cast<Scalar>(n[5]), n[0], n[1], n[2], n[3], n[4], x[0], n[6] != 0, false, b[0],
                                  b[1], b[2], int64s(b[3]), b[5], b[4], n[7]},
                                 nullptr);
}

}  // namespace

// 0, or the launcher's error; -1 for an unknown operation.
extern "C" int emulated_run(const char* op, void** buffers, const int64_t* numbers, const double* reals) {
  const std::string name(op);
  if (name == "interpolate_path") return interpolate(buffers, numbers);
  if (name == "accumulate_gradients") return accumulate(buffers, numbers);
  if (name == "fuse_rollout") return fuse(buffers, numbers, reals);
  if (name == "norm_backward") return norm(buffers, numbers);
  if (name == "activation_backward") return activation(buffers, numbers);
  if (name == "attention_gradient") return maps(buffers, numbers, reals);
  return -1;
}

extern "C" void emulated_schedule(int schedule, uint64_t seed) {
  emulation::set_schedule(static_cast<emulation::Schedule>(schedule), seed);
}

extern "C" void emulated_record(int on) {
  emulation::record_traffic(on != 0);
  emulation::reset_traffic();
}

// requests, bytes read, bytes written, sectors read, sectors written, conflicts
extern "C" void emulated_traffic(uint64_t* out) {
  const emulation::Traffic t = emulation::traffic();
  std::memcpy(out, &t, sizeof t);
}

#if defined(CALIG_STANDALONE)
namespace {

struct File {
  std::FILE* handle;
  bool read(void* into, size_t bytes) { return std::fread(into, 1, bytes, handle) == bytes; }
  int64_t number() {
    int64_t out = 0;
    if (!read(&out, sizeof out)) std::exit(2);
    return out;
  }
};

}  // namespace

// Usage: program FILE SCHEDULE. A problem is its name (32 bytes); counts of buffers, numbers and reals; the numbers and
// reals; and each buffer's size (-1: a null pointer) and bytes.
int main(int argc, char** argv) {
  if (argc != 3) return 2;
  File file{std::fopen(argv[1], "rb")};
  if (!file.handle) return 2;
  int problems = 0;
  for (char name[32]; file.read(name, sizeof name); ++problems) {
    emulated_schedule(std::atoi(argv[2]), problems + 1);
    const int64_t buffers = file.number(), numbers = file.number(), reals = file.number();
    std::vector<int64_t> n(numbers);
    std::vector<double> x(reals);
    if (!file.read(n.data(), numbers * 8) || !file.read(x.data(), reals * 8)) return 2;
    std::vector<void*> b(buffers, nullptr);
    for (void*& p : b) {
      const int64_t size = file.number();
      if (size < 0) continue;
      p = std::malloc(size);
      if (!file.read(p, size)) return 2;
    }
    if (const int failed = emulated_run(name, b.data(), n.data(), x.data())) {
      std::fprintf(stderr, "%s: error %d\n", name, failed);
      return 3;
    }
    for (void* p : b) std::free(p);
  }
  std::fclose(file.handle);
  std::printf("%d problems\n", problems);
  return 0;
}
#endif
