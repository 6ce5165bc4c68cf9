// Elements from the host to a device and back, in a context's order of work.
#pragma once

#include "kernels/runtime/context.h"

namespace switchyard::kernels {

/// to = from; dtype and number of elements must be equal.
/// - On the CPU, or on one device: an ordinary op.
/// - To the device: `from` may change once this returns; the copy itself waits its turn.
/// - To the host: returns when `to` is written, that is, waits for all work given to the context before.
/// Host memory is passed through pinned memory of the context, so that it may be any.
void copy(Context& context, TensorView to, ConstTensorView from);

/// All bytes 0.
void clear(Context& context, TensorView tensor);

}  // namespace switchyard::kernels
