// Starting a run with weights that exist already.
#pragma once

#include "app/train/run_state.h"
#include "app/train/session.h"
#include "data/io/io.h"

namespace switchyard::app {

/// Loads what train.init_from names into the model of a session that has done no step: weights and selection
/// biases, on any layout; moments start at zero. What of the model section differs from the checkpoint's is
/// logged. Throws UserError where there is no such checkpoint or its tokenizer is not the data's,
/// CheckpointError where it is damaged or of another shape. Collective.
void load_initial_weights(Session& session, data::Io& io, const RunState& state);

}  // namespace switchyard::app
