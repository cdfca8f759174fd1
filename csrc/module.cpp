// What this library was built from. The operations register themselves with PyTorch when the library is loaded; it
// calls nothing of Python, and so serves every version of it.
#include <string>

#include "common/isa.h"

#define CALIG_EXPORT extern "C" __attribute__((visibility("default")))

// The loader finds this in the file before it loads the library: against another PyTorch, or registering operations
// that the package declares otherwise, loading alone could crash.
CALIG_EXPORT const char calig_fast_built_for[];
const char calig_fast_built_for[] = "calig_fast built for torch " CALIG_TORCH_VERSION " from " CALIG_SOURCES ";";

namespace {

std::string field(const char* name, const std::string& value) {
  return std::string("\"") + name + "\": \"" + value + "\", ";
}

}  // namespace

// JSON: what the library was built with, and the instruction set in use.
CALIG_EXPORT const char* calig_fast_build_info() {
#if defined(CALIG_HAVE_X86)
  const char* sets = "\"default\", \"avx2\", \"avx512\"";
#else
  const char* sets = "\"default\"";
#endif
  static const std::string text = "{" + field("compiler", CALIG_COMPILER) + field("torch", CALIG_TORCH_VERSION) +
                                  field("cuda", CALIG_CUDA) + field("cuda_note", CALIG_CUDA_NOTE) +
                                  field("architectures", CALIG_CUDA_ARCHITECTURES) +
                                  field("isa", calig_fast::isa_name()) + "\"instruction_sets\": [" + sets +
                                  "], \"intel\": " + (calig_fast::is_intel() ? "true" : "false") + "}";
  return text.c_str();
}
