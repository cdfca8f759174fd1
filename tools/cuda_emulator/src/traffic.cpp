// Counts requests, bytes and sectors of global memory, and finds blocks of one launch that get in each other's way.
#include "emulation/traffic.h"

#include <algorithm>
#include <tuple>
#include <unordered_map>
#include <vector>

#include "emulation/runtime.h"
#include "traffic.h"

namespace emulation {
namespace {

constexpr uintptr_t kSector = 32;
constexpr unsigned kWarp = 32, kMostThreads = 1024;

struct Access {
  unsigned warp, ordinal;
  uintptr_t begin;
  unsigned bytes;
  bool writes;
};

constexpr uintptr_t kCell = 2;  // no kernel accesses less
constexpr uint64_t kMany = ~0ull;

// Which block of this launch read a cell of memory, and which wrote it last; 0 is nobody.
struct Owner {
  uint64_t reader, writer;
};

bool recording;
Traffic totals;
std::vector<Access> accesses;
unsigned ordinals[kMostThreads];
std::unordered_map<uintptr_t, Owner> owners;
uint64_t block_number;

// Calls use(begin, end) for the union of the requests' address ranges, rounded outwards to `unit`.
template <typename Use>
void merged(const Access* begin, const Access* end, uintptr_t unit, Use use) {
  uintptr_t from = 0, to = 0;
  for (const Access* a = begin; a != end; ++a) {
    const uintptr_t first = a->begin / unit * unit, last = (a->begin + a->bytes + unit - 1) / unit * unit;
    if (first > to || a == begin) {
      if (to > from) use(from, to);
      from = first;
      to = last;
    } else if (last > to) {
      to = last;
    }
  }
  if (to > from) use(from, to);
}

void count(const Access* begin, const Access* end) {
  uint64_t bytes = 0, sectors = 0;
  merged(begin, end, 1, [&](uintptr_t from, uintptr_t to) { bytes += to - from; });
  merged(begin, end, kSector, [&](uintptr_t from, uintptr_t to) { sectors += (to - from) / kSector; });
  ++totals.requests;
  (begin->writes ? totals.bytes_written : totals.bytes_read) += bytes;
  (begin->writes ? totals.sectors_written : totals.sectors_read) += sectors;
  merged(begin, end, kCell, [&](uintptr_t from, uintptr_t to) {
    for (; from < to; from += kCell) {
      Owner& owner = owners[from];
      const bool other_wrote = owner.writer && owner.writer != block_number;
      const bool other_read = owner.reader && owner.reader != block_number;
      totals.conflicts += other_wrote || (begin->writes && other_read);
      if (begin->writes) {
        owner.writer = block_number;
      } else {
        owner.reader = other_read ? kMany : block_number;
      }
    }
  });
}

}  // namespace

void record_traffic([[maybe_unused]] bool on) {
#if !defined(EMULATION_TSAN)  // which would see the fibers share this log
  recording = on;
#endif
}

void reset_traffic() {
  totals = {};
}

Traffic traffic() {
  return totals;
}

void note_access(const void* address, size_t bytes, bool active, bool writes) {
  if (!recording) return;
  const dim3 at = place().thread, size = place().block_size;
  const unsigned thread = at.x + size.x * (at.y + size.y * at.z);
  const unsigned ordinal = ordinals[thread]++;
  if (!active) return;
  accesses.push_back(
      {thread / kWarp, ordinal, reinterpret_cast<uintptr_t>(address), static_cast<unsigned>(bytes), writes});
}

void begin_launch() {
  owners.clear();
  block_number = 1;
}

void end_block() {
  const auto key = [](const Access& a) { return std::make_tuple(a.warp, a.ordinal, a.writes, a.begin); };
  std::sort(accesses.begin(), accesses.end(), [&](const Access& a, const Access& b) { return key(a) < key(b); });
  const Access *end = accesses.data() + accesses.size(), *first = accesses.data();
  while (first != end) {
    const Access* last = first;
    while (last != end && last->warp == first->warp && last->ordinal == first->ordinal && last->writes == first->writes)
      ++last;
    count(first, last);
    first = last;
  }
  accesses.clear();
  std::fill_n(ordinals, kMostThreads, 0u);
  ++block_number;
}

}  // namespace emulation
