// Element types of the packed tensors, without PyTorch's headers.
#pragma once

namespace calig_fast {

enum class Scalar { f32, f64, bf16, f16 };  // f16 on the GPU alone: on a CPU its arithmetic is slow

}  // namespace calig_fast
