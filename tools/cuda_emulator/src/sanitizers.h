// What AddressSanitizer and ThreadSanitizer must be told of fibers; nothing where neither is in use.
#pragma once

#include <cstddef>

#if defined(EMULATION_ASAN)
extern "C" {
void __sanitizer_start_switch_fiber(void** save, const void* bottom, size_t size);
void __sanitizer_finish_switch_fiber(void* save, const void** bottom, size_t* size);
}
#elif defined(EMULATION_TSAN)
extern "C" {
void* __tsan_get_current_fiber(void);
void* __tsan_create_fiber(unsigned flags);
void __tsan_switch_to_fiber(void* fiber, unsigned flags);
void __tsan_acquire(void* address);
void __tsan_release(void* address);
}
#endif

namespace emulation {

// A stack as they know it.
struct Watched {
  void *fake, *fiber;
  const void* bottom;
  size_t size;
};

inline void watch_current([[maybe_unused]] Watched& me) {
#if defined(EMULATION_TSAN)
  me.fiber = __tsan_get_current_fiber();
#endif
}

inline void watch_new(Watched& fiber, const void* bottom, size_t size) {
  fiber = {nullptr, nullptr, bottom, size};
#if defined(EMULATION_TSAN)
  fiber.fiber = __tsan_create_fiber(0);
#endif
}

// Just before the stack pointer moves. Switching orders nothing: only barriers do.
inline void before_switch([[maybe_unused]] Watched& from, [[maybe_unused]] const Watched& to) {
#if defined(EMULATION_ASAN)
  __sanitizer_start_switch_fiber(&from.fake, to.bottom, to.size);
#elif defined(EMULATION_TSAN)
  constexpr unsigned kNoOrder = 1;
  __tsan_switch_to_fiber(to.fiber, kNoOrder);
#endif
}

// Just after it has moved to `me`, from a stack whose bounds are learnt on the way.
inline void after_switch([[maybe_unused]] Watched& me, [[maybe_unused]] Watched& from) {
#if defined(EMULATION_ASAN)
  __sanitizer_finish_switch_fiber(me.fake, &from.bottom, &from.size);
#endif
}

// Whatever was done before a release of an address comes before what follows an acquire of it.
inline void release([[maybe_unused]] void* address) {
#if defined(EMULATION_TSAN)
  __tsan_release(address);
#endif
}

inline void acquire([[maybe_unused]] void* address) {
#if defined(EMULATION_TSAN)
  __tsan_acquire(address);
#endif
}

}  // namespace emulation
