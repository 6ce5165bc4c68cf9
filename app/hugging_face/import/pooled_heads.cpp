#include <algorithm>

#include "app/hugging_face/import/elements.h"
#include "kernels/runtime/check.h"

namespace switchyard::app {

namespace {

class PooledHeads final : public Elements {
 public:
  PooledHeads(std::unique_ptr<Elements> source, const moe::ModelConfig& before, std::int64_t kv_heads)
      : source_(std::move(source)),
        group_(before.kv_heads / kv_heads),
        head_width_(moe::head_width(before)),
        width_(before.width),
        pools_k_norm_(before.qk_norm == moe::QkNorm::full_width) {
    SWITCHYARD_CHECK(kv_heads > 0 && before.kv_heads % kv_heads == 0, "{} heads into {}", before.kv_heads,
                     kv_heads);
  }

  void read(std::string_view name, std::int64_t begin, std::int64_t end, float* out) override {
    const std::int64_t columns = columns_of(name);
    if (columns == 0) return source_->read(name, begin, end, out);
    const std::int64_t head = head_width_ * columns;  // elements of one head
    for (std::int64_t at = begin; at < end;) {
      const std::int64_t pooled = at / head, inside = at % head;
      const std::int64_t count = std::min(end - at, head - inside);
      mean(name, pooled * group_ * head + inside, head, static_cast<std::size_t>(count), out + (at - begin));
      at += count;
    }
  }

 private:
  /// Elements in each row of a tensor that is pooled; 0 for others.
  std::int64_t columns_of(std::string_view name) const {
    if (name.ends_with(".attention.k.weight") || name.ends_with(".attention.v.weight")) return width_;
    if (name.ends_with(".attention.k.bias") || name.ends_with(".attention.v.bias")) return 1;
    return pools_k_norm_ && name.ends_with(".attention.k_norm.weight") ? 1 : 0;
  }

  /// Mean over the group's heads, which lie `stride` elements apart from `first` on.
  void mean(std::string_view name, std::int64_t first, std::int64_t stride, std::size_t count, float* out) {
    values_.resize(count);
    sums_.assign(count, 0.0);
    for (std::int64_t member = 0; member < group_; ++member) {
      const std::int64_t begin = first + member * stride;
      source_->read(name, begin, begin + static_cast<std::int64_t>(count), values_.data());
      for (std::size_t i = 0; i < count; ++i) sums_[i] += static_cast<double>(values_[i]);
    }
    for (std::size_t i = 0; i < count; ++i)
      out[i] = static_cast<float>(sums_[i] / static_cast<double>(group_));
  }

  std::unique_ptr<Elements> source_;
  std::int64_t group_, head_width_, width_;
  bool pools_k_norm_;
  std::vector<float> values_;
  std::vector<double> sums_;
};

}  // namespace

std::unique_ptr<Elements> pooled_heads(std::unique_ptr<Elements> source, const moe::ModelConfig& before,
                                       std::int64_t kv_heads) {
  return std::make_unique<PooledHeads>(std::move(source), before, kv_heads);
}

}  // namespace switchyard::app
