#include "isa.h"

#include <ATen/Version.h>

#include <string>

namespace calig_fast {

Isa isa() {
#if defined(CALIG_HAVE_X86)
  static const Isa chosen = [] {
    const std::string capability = at::get_cpu_capability();
    return capability == "AVX512" ? Isa::avx512 : capability == "AVX2" ? Isa::avx2 : Isa::generic;
  }();
  return chosen;
#else
  return Isa::generic;
#endif
}

bool is_intel() {
#if defined(CALIG_HAVE_X86)
  return __builtin_cpu_is("intel") != 0;
#else
  return false;
#endif
}

const char* isa_name() {
  switch (isa()) {
    case Isa::avx512:
      return "avx512";
    case Isa::avx2:
      return "avx2";
    default:
      return "default";
  }
}

}  // namespace calig_fast
