#include "app/hugging_face/tensors/pieces.h"

#include <fmt/format.h>

#include "kernels/runtime/check.h"

namespace switchyard::app {

namespace {

class PieceList {
 public:
  PieceList(const FamilyTraits& family, const moe::ModelConfig& model, std::int64_t vocabulary)
      : family_(family), model_(model), C_(model.width) {
    whole("model.embed_tokens.weight", {vocabulary, C_}, "embedding.weight");
    for (std::int64_t l = 0; l < model.layers; ++l) layer(l);
    whole("model.norm.weight", {C_}, "final_norm.weight");
    if (!model.tied_head) whole("lm_head.weight", {vocabulary, C_}, "head.weight");
  }

  std::vector<TensorPiece> take() { return std::move(pieces_); }

 private:
  void part(std::string name, std::vector<std::int64_t> shape, const std::string& tensor,
            std::int64_t begin) {
    std::int64_t elements = 1;
    for (const std::int64_t dim : shape) elements *= dim;
    pieces_.push_back({std::move(name), std::move(shape), tensor, begin, begin + elements});
  }
  void whole(std::string name, std::vector<std::int64_t> shape, const std::string& tensor) {
    part(std::move(name), std::move(shape), tensor, 0);
  }

  void layer(std::int64_t l) {
    theirs_ = fmt::format("model.layers.{}.", l);
    ours_ = fmt::format("layers.{}.", l);
    whole(theirs_ + "input_layernorm.weight", {C_}, ours_ + "attention_norm.weight");
    attention();
    whole(theirs_ + "post_attention_layernorm.weight", {C_}, ours_ + "mlp_norm.weight");
    if (moe::is_moe_layer(model_, l))
      experts(l);
    else
      gated(theirs_ + "mlp.", kDense, ours_ + "mlp.", moe::dense_width(model_), 0, 0);
  }

  void attention() {
    const std::int64_t D = moe::head_width(model_);
    const std::int64_t queries = model_.heads * D, keys = model_.kv_heads * D;
    const std::string theirs = theirs_ + "self_attn.", ours = ours_ + "attention.";
    const std::pair<const char*, std::int64_t> inputs[] = {{"q", queries}, {"k", keys}, {"v", keys}};
    for (const auto& [letter, rows] : inputs) {
      whole(fmt::format("{}{}_proj.weight", theirs, letter), {rows, C_},
            fmt::format("{}{}.weight", ours, letter));
      if (model_.attention_bias)
        whole(fmt::format("{}{}_proj.bias", theirs, letter), {rows}, fmt::format("{}{}.bias", ours, letter));
    }
    whole(theirs + "o_proj.weight", {C_, queries}, ours + "output.weight");
    if (model_.attention_output_bias) whole(theirs + "o_proj.bias", {C_}, ours + "output.bias");
    if (model_.qk_norm == moe::QkNorm::none) return;
    const bool per_head = model_.qk_norm == moe::QkNorm::per_head;
    whole(theirs + "q_norm.weight", {per_head ? D : queries}, ours + "q_norm.weight");
    whole(theirs + "k_norm.weight", {per_head ? D : keys}, ours + "k_norm.weight");
  }

  /// gate, up and down of one MLP of width F: gate and up in ours from `gate_up_begin`, down from
  /// `down_begin`.
  void gated(const std::string& theirs, const std::string_view (&names)[3], const std::string& ours,
             std::int64_t F, std::int64_t gate_up_begin, std::int64_t down_begin) {
    part(fmt::format("{}{}.weight", theirs, names[0]), {F, C_}, ours + "gate_up.weight", gate_up_begin);
    part(fmt::format("{}{}.weight", theirs, names[1]), {F, C_}, ours + "gate_up.weight",
         gate_up_begin + F * C_);
    part(fmt::format("{}{}.weight", theirs, names[2]), {C_, F}, ours + "down.weight", down_begin);
  }

  void experts(std::int64_t l) {
    const std::int64_t F = moe::expert_width(model_, l);
    const std::string theirs = fmt::format("{}{}.", theirs_, family_.moe_module);
    whole(theirs + "gate.weight", {model_.moe.experts, C_}, ours_ + "moe.router.weight");
    for (std::int64_t e = 0; e < model_.moe.experts; ++e)
      gated(fmt::format("{}experts.{}.", theirs, e), family_.gate_up_down, ours_ + "moe.experts.", F,
            e * 2 * F * C_, e * C_ * F);
    if (model_.moe.shared_experts == 0) return;
    gated(theirs + "shared_expert.", kDense, ours_ + "moe.shared.", moe::shared_width(model_, l), 0, 0);
    whole(theirs + "shared_expert_gate.weight", {1, C_}, ours_ + "moe.shared_gate.weight");
  }

  static constexpr std::string_view kDense[3] = {"gate_proj", "up_proj", "down_proj"};

  const FamilyTraits& family_;
  const moe::ModelConfig& model_;
  const std::int64_t C_;
  std::string theirs_, ours_;
  std::vector<TensorPiece> pieces_;
};

}  // namespace

std::vector<TensorPiece> tensor_pieces(const FamilyTraits& family, const moe::ModelConfig& model,
                                       std::int64_t vocabulary) {
  SWITCHYARD_CHECK(vocabulary <= model.vocab_size, "a folder's {} rows of {}", vocabulary, model.vocab_size);
  constexpr double kMostBesidesExperts = 20;
  if (static_cast<double>(model.layers) *
          (3.0 * static_cast<double>(model.moe.experts) + kMostBesidesExperts) >
      static_cast<double>(kMaxPieces))
    throw DataError(fmt::format("a model may have about {} tensors in a folder; got {} layers of {} experts",
                                kMaxPieces, model.layers, model.moe.experts));
  return PieceList(family, model, vocabulary).take();
}

}  // namespace switchyard::app
