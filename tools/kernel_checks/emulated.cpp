// The CUDA launchers compiled for the host, behind one entry: an operation's name and its arguments in flat arrays.
// A library for Python, and with CALIG_STANDALONE a program that runs the problems of a file, for the sanitizers.
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <vector>

#include "launchers.h"  // written by build.py: csrc/<op>/<op>_flat.h of every operation, and the table of them

namespace {

struct Launcher {
  const char* op;
  cudaError_t (*run)(void**, const int64_t*, const double*);
};

const Launcher LAUNCHERS[] = {CALIG_LAUNCHERS};

}  // namespace

// 0, or the launcher's error; -1 for an unknown operation.
extern "C" int emulated_run(const char* op, void** buffers, const int64_t* numbers, const double* reals) {
  for (const Launcher& launcher : LAUNCHERS) {
    if (std::strcmp(launcher.op, op) == 0) return launcher.run(buffers, numbers, reals);
  }
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
