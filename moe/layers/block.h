// One decoder block: attention with its residual, then MLP or experts with theirs.
#pragma once

#include "moe/layers/attention.h"
#include "moe/layers/moe_mlp.h"

namespace switchyard::moe {

struct BlockParameters {
  AttentionParameters attention;
  const Parameter* mlp_norm = nullptr;
  MlpParameters mlp;  ///< of a dense block
  MoeParameters moe;  ///< of an MoE block
  bool is_moe = false;
  TensorView balancing_bias;  ///< (E) f32, absent without bias balancing
};

struct BlockSaved {
  TensorView x;     // (N, C): the block's input
  Routing routing;  // always kept
  AttentionSaved attention;
  TensorView middle;  // (N, C): after attention
  TensorView normed;  // (N, C)
  TensorView rstd;    // (N)
  MlpSaved mlp;
  MoeSaved moe;
};

/// y (N, C) from x (N, C), which must live until the backward pass. Collective over the expert axis in MoE
/// blocks. `statistics` is written for MoE blocks. With Recompute::block only saved.x and saved.routing stay
/// valid.
void block_forward(LayerContext& layer, parallel::RowExchange& exchange, const BlockParameters& parameters,
                   TensorView y, ConstTensorView x, BlockSaved& saved, RoutingStatistics& statistics,
                   Recompute recompute, KvCache* cache = nullptr);

/// dx (N, C) is overwritten; it may be the memory of dy. Collective over the expert axis in MoE blocks.
void block_backward(LayerContext& layer, parallel::RowExchange& exchange, const BlockParameters& parameters,
                    TensorView dx, ConstTensorView dy, BlockSaved& saved, Recompute recompute);

}  // namespace switchyard::moe
