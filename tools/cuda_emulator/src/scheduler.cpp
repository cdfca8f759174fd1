// One fiber for each CUDA thread of a block, switched only at barriers and shuffles. Compiled without sanitizers: it
// tells them what it switches to through their fiber interfaces, and its own bookkeeping stays out of their sight,
// for which it lies in static arrays rather than in containers whose code other objects might share.
#include <sys/mman.h>
#include <ucontext.h>

#include <cstdarg>
#include <cstdio>
#include <cstdlib>

#include "emulation/runtime.h"
#include "sanitizers.h"
#include "traffic.h"

namespace emulation {
namespace {

constexpr unsigned kMostThreads = 1024, kWarp = 32;
constexpr size_t kStack = 256 * 1024, kGuard = 4096;

// A rendezvous: whoever arrives waits until `generation` moves on.
struct Barrier {
  unsigned arrived, generation, mask;
  const char* file;
  int line;
};

struct Fiber {
  ucontext_t context;
  Watched watched;
  const Barrier* waits;
  unsigned waits_for;
  bool done;
  Place place;
};

struct Warp {
  Barrier barrier;
  unsigned exists, live;     // bit masks of lanes
  uint64_t slots[2][kWarp];  // two, so that a lane that runs ahead cannot overwrite what another has yet to read
};

Fiber fibers[kMostThreads];
Warp warps[kMostThreads / kWarp];
Barrier block;
unsigned made, threads, live, current;
ucontext_t scheduler;
Watched scheduler_watched;
void* dynamic_memory;
void (*work)(void*);
void* work_context;
char grid_begins, grid_ends;  // addresses that order a block's threads after the block before it
Schedule schedule = Schedule::forward;
uint64_t seed = 1;

[[noreturn]] void fail(const char* format, ...) {
  const Place& at = fibers[current].place;
  std::fprintf(stderr, "emulation: block (%u,%u,%u) thread (%u,%u,%u): ", at.block.x, at.block.y, at.block.z,
               at.thread.x, at.thread.y, at.thread.z);
  va_list rest;
  va_start(rest, format);
  std::vfprintf(stderr, format, rest);
  va_end(rest);
  std::fputc('\n', stderr);
  std::abort();
}

// Back to the scheduler's loop until this fiber's turn comes again.
void yield() {
  Fiber& me = fibers[current];
  before_switch(me.watched, scheduler_watched);
  swapcontext(&me.context, &scheduler);
  after_switch(me.watched, scheduler_watched);
}

void resume(unsigned number) {
  Fiber& next = fibers[current = number];
  before_switch(scheduler_watched, next.watched);
  swapcontext(&scheduler, &next.context);
  after_switch(scheduler_watched, next.watched);
}

void finish() {
  Fiber& me = fibers[current];
  Warp& warp = warps[current / kWarp];
  me.done = true;
  --live;
  warp.live &= ~(1u << current % kWarp);
  if (block.arrived) fail("divergent barrier: this thread ends, others wait at %s:%d", block.file, block.line);
  if (warp.barrier.arrived && warp.barrier.mask >> current % kWarp & 1)
    fail("divergent barrier: this lane ends, others of its warp wait for it at %s:%d", warp.barrier.file,
         warp.barrier.line);
}

// A fiber lives as long as the process and runs one thread of block after block.
void live_on() {
  after_switch(fibers[current].watched, scheduler_watched);
  for (;;) {
    acquire(&grid_begins);
    work(work_context);
    release(&grid_ends);
    finish();
    yield();
  }
}

void make(Fiber& fiber) {
  void* memory = mmap(nullptr, kStack + kGuard, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (memory == MAP_FAILED || mprotect(memory, kGuard, PROT_NONE) != 0) fail("no memory for a stack");
  char* const stack = static_cast<char*>(memory) + kGuard;
  watch_new(fiber.watched, stack, kStack);
  getcontext(&fiber.context);
  fiber.context.uc_stack.ss_sp = stack;
  fiber.context.uc_stack.ss_size = kStack;
  fiber.context.uc_link = nullptr;
  makecontext(&fiber.context, live_on, 0);
}

// Waits until `needed` threads have come to `barrier`, all from one line of the source and for the same lanes.
void rendezvous(Barrier& barrier, unsigned needed, unsigned mask, const char* file, int line) {
  if (barrier.arrived == 0) {
    barrier.mask = mask;
    barrier.file = file;
    barrier.line = line;
  } else if (barrier.line != line || barrier.mask != mask) {
    fail("divergent barrier: this thread is at %s:%d for lanes %08x, others wait at %s:%d for lanes %08x", file, line,
         mask, barrier.file, barrier.line, barrier.mask);
  }
  if (++barrier.arrived == needed) {
    barrier.arrived = 0;
    ++barrier.generation;
    return;
  }
  Fiber& me = fibers[current];
  me.waits = &barrier;
  me.waits_for = barrier.generation;
  yield();
  me.waits = nullptr;
}

// The lanes that must come, and that this lane may read from.
unsigned awaited(const Warp& warp, unsigned mask, const char* file, int line) {
  if (!(mask >> current % kWarp & 1))
    fail("%s:%d: lane %u is not in its own mask %08x", file, line, current % kWarp, mask);
  const unsigned wanted = mask & warp.exists;
  if (wanted & ~warp.live)
    fail("divergent barrier: %s:%d waits for lanes %08x that have ended", file, line, wanted & ~warp.live);
  return wanted;
}

uint64_t random_bits() {
  seed ^= seed << 13;
  seed ^= seed >> 7;
  return seed ^= seed << 17;
}

void arrange(unsigned* order) {
  for (unsigned i = 0; i < threads; ++i) order[i] = schedule == Schedule::reverse ? threads - 1 - i : i;
  if (schedule != Schedule::random) return;
  for (unsigned i = threads - 1; i > 0; --i) {
    const unsigned j = random_bits() % (i + 1), kept = order[i];
    order[i] = order[j];
    order[j] = kept;
  }
}

void begin_block(dim3 number, dim3 size, dim3 grid) {
  block = {};
  live = threads;
  for (unsigned w = 0; w * kWarp < threads; ++w) {
    const unsigned lanes = threads - w * kWarp;
    warps[w].barrier = {};
    warps[w].exists = warps[w].live = lanes >= kWarp ? ~0u : (1u << lanes) - 1;
  }
  for (unsigned i = 0; i < threads; ++i) {
    fibers[i].done = false;
    fibers[i].waits = nullptr;
    fibers[i].place = {dim3(i % size.x, i / size.x % size.y, i / (size.x * size.y)), number, size, grid};
  }
}

void run_block() {
  unsigned order[kMostThreads];
  release(&grid_begins);
  while (live > 0) {
    arrange(order);
    bool ran = false;
    for (unsigned i = 0; i < threads; ++i) {
      const Fiber& next = fibers[order[i]];
      if (next.done || (next.waits && next.waits->generation == next.waits_for)) continue;
      ran = true;
      resume(order[i]);
    }
    if (!ran)
      fail("divergent barrier: %u threads live, none can go on; %u wait at %s:%d", live, block.arrived,
           block.arrived ? block.file : "a warp's barrier", block.line);
  }
  acquire(&grid_ends);
}

}  // namespace

void set_schedule(Schedule wanted, uint64_t wanted_seed) {
  schedule = wanted;
  seed = wanted_seed * 2 + 1;
}

const Place& place() {
  return fibers[current].place;
}

void* dynamic_shared() {
  return dynamic_memory;
}

unsigned lane() {
  return current % kWarp;
}

void block_barrier(const char* file, int line) {
  if (live != threads) fail("divergent barrier: %u threads ended before %s:%d", threads - live, file, line);
  release(&block);
  rendezvous(block, threads, ~0u, file, line);
  acquire(&block);
}

void warp_barrier(unsigned mask, const char* file, int line) {
  Warp& warp = warps[current / kWarp];
  const unsigned wanted = awaited(warp, mask, file, line);
  release(&warp);
  rendezvous(warp.barrier, __builtin_popcount(wanted), mask, file, line);
  acquire(&warp);
}

uint64_t exchange(unsigned mask, uint64_t value, unsigned source, const char* file, int line) {
  Warp& warp = warps[current / kWarp];
  const unsigned wanted = awaited(warp, mask, file, line);
  if (source >= kWarp || !(wanted >> source & 1)) fail("%s:%d: reads lane %u, which is not there", file, line, source);
  uint64_t* const slots = warp.slots[warp.barrier.generation & 1];
  slots[current % kWarp] = value;
  rendezvous(warp.barrier, __builtin_popcount(wanted), mask, file, line);
  return slots[source];
}

void run_grid(dim3 grid, dim3 size, size_t shared_bytes, void (*body)(void*), void* context) {
  threads = size.x * size.y * size.z;
  const bool possible = threads > 0 && threads <= kMostThreads && grid.x > 0 && grid.y > 0 && grid.z > 0 &&
                        grid.x < 1u << 31 && grid.y < 1u << 16 && grid.z < 1u << 16 && shared_bytes <= 232448;
  if (!possible)
    fail("no device launches grid (%u,%u,%u), block (%u,%u,%u), %zu bytes shared", grid.x, grid.y, grid.z, size.x,
         size.y, size.z, shared_bytes);
  work = body;
  work_context = context;
  watch_current(scheduler_watched);
  for (; made < threads; ++made) make(fibers[made]);
  begin_launch();
  for (unsigned z = 0; z < grid.z; ++z)
    for (unsigned y = 0; y < grid.y; ++y)
      for (unsigned x = 0; x < grid.x; ++x) {
        begin_block(dim3(x, y, z), size, grid);
        if (shared_bytes) {
          dynamic_memory = std::malloc(shared_bytes);  // of the exact size, and never zero: kernels must write first
          std::memset(dynamic_memory, 0xa5, shared_bytes);
        }
        run_block();
        end_block();
        std::free(dynamic_memory);
        dynamic_memory = nullptr;
      }
}

}  // namespace emulation
