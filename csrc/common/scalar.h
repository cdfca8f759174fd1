// Element types of the packed tensors, without PyTorch's headers.
#pragma once

namespace calig_fast {

enum class Scalar { f32, f64, bf16 };

}  // namespace calig_fast
