#include <fmt/format.h>

#include <algorithm>

#include "app/hugging_face/import/elements.h"
#include "kernels/runtime/random.h"

namespace switchyard::app {

namespace {

class Upcycled final : public Elements {
 public:
  Upcycled(std::unique_ptr<Elements> source, const moe::ModelConfig& model, const Upcycling& upcycling)
      : source_(std::move(source)), model_(model), upcycling_(upcycling) {}

  void read(std::string_view name, std::int64_t begin, std::int64_t end, float* out) override {
    const TensorView all(out, DType::f32, {end - begin});
    if (name.ends_with(".moe.router.weight")) {
      const kernels::RandomStream stream(upcycling_.seed, fmt::format("initialise {}", name));
      kernels::fill_normal(all, stream, static_cast<std::uint64_t>(begin), model_.init_std);
      return;
    }
    constexpr std::string_view kStacked = ".moe.experts.";
    const auto found = name.find(kStacked);
    if (found == std::string_view::npos) return source_->read(name, begin, end, out);
    const std::string_view part = name.substr(found + kStacked.size());
    const std::string dense = fmt::format("{}.mlp.{}", name.substr(0, found), part);
    const std::int64_t one = (part.starts_with("gate_up") ? 2 : 1) * moe::dense_width(model_) * model_.width;
    for (std::int64_t at = begin; at < end;) {
      const std::int64_t inside = at % one, count = std::min(end - at, one - inside);
      source_->read(dense, inside, inside + count, out + (at - begin));
      at += count;
    }
    if (upcycling_.noise > 0) add_noise(name, begin, end, out);
  }

 private:
  void add_noise(std::string_view name, std::int64_t begin, std::int64_t end, float* out) {
    const kernels::RandomStream stream(upcycling_.seed, fmt::format("upcycle {}", name));
    noise_.resize(static_cast<std::size_t>(end - begin));
    kernels::fill_normal(TensorView(noise_.data(), DType::f32, {end - begin}), stream,
                         static_cast<std::uint64_t>(begin), upcycling_.noise);
    for (std::size_t i = 0; i < noise_.size(); ++i) out[i] += noise_[i];
  }

  std::unique_ptr<Elements> source_;
  moe::ModelConfig model_;
  Upcycling upcycling_;
  std::vector<float> noise_;
};

}  // namespace

std::unique_ptr<Elements> upcycled(std::unique_ptr<Elements> source, const moe::ModelConfig& model,
                                   const Upcycling& upcycling) {
  return std::make_unique<Upcycled>(std::move(source), model, upcycling);
}

}  // namespace switchyard::app
