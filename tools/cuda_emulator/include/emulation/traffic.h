// Global memory as the device's load and store units see it: bytes and 32-byte sectors, warp by warp. Kernels say
// what they access through a pair of functions of their own, which call these here and are plain accesses under nvcc.
#pragma once

#include <cstddef>
#include <cstdint>

namespace emulation {

// Totals since `reset_traffic`. A request is one access of one warp: lanes that ask for the same bytes ask once.
// `conflicts` counts accesses to bytes that another block of the same launch writes, or wrote.
struct Traffic {
  uint64_t requests, bytes_read, bytes_written, sectors_read, sectors_written, conflicts;
};

// Off until then; stays off under ThreadSanitizer.
void record_traffic(bool on);
void reset_traffic();
Traffic traffic();

// The n-th call of every lane of a warp makes up its n-th request, so a lane that is not active calls too.
void note_access(const void* address, size_t bytes, bool active, bool writes);

}  // namespace emulation
