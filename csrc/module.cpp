// The Python module: what this library was built from. The operations register themselves with PyTorch.
#include <pybind11/pybind11.h>
#include <pybind11/stl.h>

#include <string>
#include <vector>

#include "common/isa.h"

namespace {

// The loader finds this in the file before it loads the library: against another PyTorch, or registering operations
// that the package declares otherwise, loading alone could crash.
__attribute__((used, visibility("default"))) extern const char calig_fast_built_for[] =
    "calig_fast built for torch " CALIG_TORCH_VERSION " from " CALIG_SOURCES ";";

std::vector<std::string> instruction_sets() {
#if defined(CALIG_HAVE_X86)
  return {"default", "avx2", "avx512"};
#else
  return {"default"};
#endif
}

pybind11::dict build_info() {
  pybind11::dict out;
  out["compiler"] = CALIG_COMPILER;
  out["torch"] = CALIG_TORCH_VERSION;
  out["cuda"] = CALIG_CUDA;
  out["cuda_note"] = CALIG_CUDA_NOTE;
  out["architectures"] = CALIG_CUDA_ARCHITECTURES;
  out["instruction_sets"] = instruction_sets();
  out["isa"] = calig_fast::isa_name();
  out["intel"] = calig_fast::is_intel();
  return out;
}

}  // namespace

PYBIND11_MODULE(_C, m) {
  m.doc() = "Compiled operations of calig_fast.";
  m.def("build_info", &build_info, "What the library was built from, and the instruction set in use.");
}
