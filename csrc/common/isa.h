// One CPU body, several instruction sets: every <op>_cpu.cpp is compiled once per set, each time inside the namespace
// that CALIG_ISA names, and the caller picks by what PyTorch detected (ATEN_CPU_CAPABILITY overrides it).
#pragma once

namespace calig_fast {

enum class Isa { generic, avx2, avx512 };

// The best compiled instruction set that at::get_cpu_capability() allows; decided once a process.
Isa isa();
const char* isa_name();
// Whether the processor is Intel's: MKL takes AVX-512 on those alone.
bool is_intel();

}  // namespace calig_fast

// The bodies are a library of their own, which the operations of every PyTorch release call.
#define CALIG_DECLARE_IN(isa, ...)         \
  namespace isa {                          \
  _Pragma("GCC visibility push(default)"); \
  __VA_ARGS__;                             \
  _Pragma("GCC visibility pop");           \
  }
#if defined(CALIG_HAVE_X86)
#define CALIG_DECLARE_PER_ISA(...)       \
  CALIG_DECLARE_IN(generic, __VA_ARGS__) \
  CALIG_DECLARE_IN(avx2, __VA_ARGS__)    \
  CALIG_DECLARE_IN(avx512, __VA_ARGS__)
#define CALIG_PICK(function)                                            \
  (::calig_fast::isa() == ::calig_fast::Isa::avx512 ? &avx512::function \
   : ::calig_fast::isa() == ::calig_fast::Isa::avx2 ? &avx2::function   \
                                                    : &generic::function)
#else
#define CALIG_DECLARE_PER_ISA(...) CALIG_DECLARE_IN(generic, __VA_ARGS__)
#define CALIG_PICK(function) (&generic::function)
#endif
