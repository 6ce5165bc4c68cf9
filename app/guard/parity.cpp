#include "app/guard/parity.h"

#include <fmt/format.h>
#include <fmt/ranges.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <map>
#include <span>

#include "app/train/messages.h"
#include "kernels/runtime/error.h"
#include "kernels/runtime/host_values.h"

namespace switchyard::app {

namespace {

using data::Digest;

Digest digest_of_values(kernels::Context& context, ConstTensorView values) {
  const kernels::HostValues host(context, values);
  return data::digest_of(host.view().raw(), host.view().bytes());
}

std::string host_name() {
  std::array<char, 256> name{};
  ::gethostname(name.data(), name.size() - 1);
  return name.data();
}

/// Whether the rank `self` holds the wrong value of `values`, one per rank of a group. A majority is right;
/// without one, the owner is.
bool is_odd(std::span<const Digest> values, std::size_t self, std::size_t owner) {
  const auto holders = [&](const Digest& value) {
    return static_cast<std::size_t>(std::ranges::count(values, value));
  };
  for (const Digest& value : values)
    if (2 * holders(value) > values.size()) return values[self] != value;
  return values[self] != values[owner];
}

/// The digests of all ranks of a group for the same list of pieces: result[piece * size + rank].
std::vector<Digest> gather(parallel::Communicator& group, const std::vector<Digest>& own) {
  const auto size = static_cast<std::size_t>(group.size());
  std::vector<Digest> all(own.size() * size), by_piece(all.size());
  group.all_gather(std::as_bytes(std::span(own)), std::as_writable_bytes(std::span(all)));
  for (std::size_t rank = 0; rank < size; ++rank)
    for (std::size_t piece = 0; piece < own.size(); ++piece)
      by_piece[piece * size + rank] = all[rank * own.size() + piece];
  return by_piece;
}

}  // namespace

void Parity::remember() {
  remembered_.clear();
  for (const moe::StateSlice& slice : optimizer_.resting_state())
    remembered_.push_back(digest_of_values(model_.context(), slice.values()));
}

std::string Parity::changed_here() const {
  if (remembered_.empty()) return {};
  const std::vector<moe::StateSlice> slices = optimizer_.resting_state();
  for (std::size_t i = 0; i < slices.size(); ++i)
    if (digest_of_values(model_.context(), slices[i].values()) != remembered_[i])
      return fmt::format("elements [{}, {}) of {} changed in its memory while nothing wrote them",
                         slices[i].begin, slices[i].end, slices[i].name);
  return {};
}

std::string Parity::odd_here(moe::ParameterGroup& group) const {
  parallel::Communicator& ranks = group.ranks();
  std::vector<Digest> own;
  std::vector<std::pair<parallel::ShardPiece, int>> pieces;  // with their owner
  for (int owner = 0; owner < ranks.size(); ++owner)
    for (const parallel::ShardPiece& piece : group.layout().pieces(owner)) {
      pieces.emplace_back(piece, owner);
      own.push_back(digest_of_values(model_.context(), group.weight(piece)));
    }
  const auto size = static_cast<std::size_t>(ranks.size());
  const std::vector<Digest> all = gather(ranks, own);
  for (std::size_t i = 0; i < pieces.size(); ++i) {
    const auto& [piece, owner] = pieces[i];
    if (!is_odd(std::span(all).subspan(i * size, size), static_cast<std::size_t>(ranks.rank()),
                static_cast<std::size_t>(owner)))
      continue;
    const moe::Parameter& parameter = group.parameters()[static_cast<std::size_t>(piece.tensor)];
    return fmt::format("elements [{}, {}) of {} differ from those of the other ranks",
                       parameter.global_begin + piece.begin, parameter.global_begin + piece.end,
                       parameter.spec.name);
  }
  return {};
}

std::string Parity::odd_bias_here() const {
  std::vector<Digest> own;
  for (const TensorView& bias : model_.balancing_biases())
    own.push_back(digest_of_values(model_.context(), bias));
  const auto size = static_cast<std::size_t>(world_.size());
  const std::vector<Digest> all = gather(world_, own);
  for (std::size_t i = 0; i < own.size(); ++i)
    if (is_odd(std::span(all).subspan(i * size, size), static_cast<std::size_t>(world_.rank()), 0))
      return fmt::format("layers.{}.moe.router.bias differs from that of the other ranks",
                         model_.moe_layers()[i]);
  return {};
}

void Parity::check(std::int64_t step, std::int64_t last_clean_step) {
  std::string finding = changed_here();
  // Every rank looks at everything, so that all enter the same collectives; what a rank knows of itself comes
  // first, since what others see follows from it.
  const bool is_known = world_.all_reduce_or(!finding.empty());
  for (const std::string& seen : {odd_here(model_.dense()), odd_here(model_.experts()), odd_bias_here()})
    if (!is_known && finding.empty()) finding = seen;
  remembered_.clear();
  if (!world_.all_reduce_or(!finding.empty())) return;
  if (!finding.empty()) finding = fmt::format("rank {} on {}: {}", world_.rank(), host_name(), finding);
  std::vector<std::string> findings = gather_texts(world_, finding);
  std::erase(findings, "");
  throw DeviceError(
      fmt::format("weights must be the same on all ranks and change in updates only; at step {}: {}; take "
                  "that machine out and "
                  "run the same command again. Checkpoints up to step {} are beyond doubt; later ones may "
                  "hold what came of it",
                  step, fmt::join(findings, "; "), last_clean_step));
}

}  // namespace switchyard::app
