// Loss on held-out text.
#pragma once

#include "app/metrics/step_record.h"
#include "app/train/session.h"

namespace switchyard::app {

/// A batch as the model takes it; the batch must outlive the view.
moe::UnitInput unit_input(const data::Batch& batch, std::int64_t B, std::int64_t T);

/// Mean loss over the first `units` micro-batches of the split in its own order (fewer if it is shorter; the
/// last may hold fewer sequences and counts by its tokens). 0 units = the whole split. The same bits on any
/// layout. Collective.
EvaluationRecord evaluate_split(kernels::Context& context, moe::Model& model, parallel::Communicator& world,
                                const data::TokenDataset& dataset, const StepShape& shape,
                                std::int64_t units);

}  // namespace switchyard::app
