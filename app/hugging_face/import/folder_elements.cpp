#include <algorithm>

#include "app/hugging_face/import/elements.h"
#include "app/hugging_face/tensors/element_format.h"
#include "kernels/runtime/check.h"

namespace switchyard::app {

namespace {

class FolderElements final : public Elements {
 public:
  FolderElements(ModelFolder& folder, const std::vector<TensorPiece>& pieces) : folder_(folder) {
    for (const TensorPiece& piece : pieces) {
      const ModelFolder::Tensor& tensor = folder_.tensors().at(piece.name);
      runs_[piece.tensor].push_back({piece.begin, piece.end, &tensor, *element_format(tensor.dtype)});
    }
    for (auto& [name, runs] : runs_) std::ranges::sort(runs, {}, &Run::begin);
  }

  void read(std::string_view name, std::int64_t begin, std::int64_t end, float* out) override {
    const auto found = runs_.find(name);
    SWITCHYARD_CHECK(found != runs_.end(), "no tensor '{}' in the folder's list", name);
    auto run = std::ranges::upper_bound(found->second, begin, {}, &Run::end);
    for (std::int64_t at = begin; at < end; ++run) {
      SWITCHYARD_CHECK(run != found->second.end() && run->begin <= at, "tensor '{}', element {}", name, at);
      const std::int64_t stop = std::min(end, run->end);
      copy(*run, at - run->begin, static_cast<std::size_t>(stop - at), out + (at - begin));
      at = stop;
    }
  }

 private:
  struct Run {
    std::int64_t begin, end;
    const ModelFolder::Tensor* tensor;
    ElementFormat format;
  };

  void copy(const Run& run, std::int64_t first, std::size_t count, float* out) {
    const std::size_t size = element_bytes(run.format);
    bytes_.resize(count * size);
    folder_.read(*run.tensor, first * static_cast<std::int64_t>(size), bytes_.data(), bytes_.size());
    to_floats(run.format, bytes_.data(), count, out);
  }

  ModelFolder& folder_;
  std::map<std::string, std::vector<Run>, std::less<>> runs_;  // by begin, without gaps
  std::vector<char> bytes_;
};

}  // namespace

std::unique_ptr<Elements> folder_elements(ModelFolder& folder, const std::vector<TensorPiece>& pieces) {
  return std::make_unique<FolderElements>(folder, pieces);
}

}  // namespace switchyard::app
