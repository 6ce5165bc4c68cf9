#include "parallel/exchange/row_exchange.h"

#include <fmt/format.h>

#include <cstring>

#include "kernels/ops/gradient_sum.h"
#include "kernels/runtime/check.h"

namespace switchyard::parallel {

namespace {

std::size_t row_bytes(ConstTensorView rows) {
  return static_cast<std::size_t>(rows.shape().tail().elements()) * dtype_size(rows.dtype());
}

std::span<const std::byte> memory(ConstTensorView rows) {
  return {static_cast<const std::byte*>(rows.raw()), rows.bytes()};
}

std::span<std::byte> memory(TensorView rows) {
  return {static_cast<std::byte*>(rows.raw()), rows.bytes()};
}

void check_rows(const ExchangePlan& plan, int round, ConstTensorView received, ConstTensorView sorted) {
  SWITCHYARD_CHECK(round >= 0 && round < plan.rounds(), "round {} of {}", round, plan.rounds());
  SWITCHYARD_CHECK(received.device() == sorted.device(), "rows on both sides in one kind of memory");
  SWITCHYARD_CHECK(sorted.dim(0) == plan.own_rows() && received.dim(0) == plan.rows(round),
                   "sorted rows ({}, C) and received rows ({}, C); got {} and {}", plan.own_rows(),
                   plan.rows(round), sorted.shape().text(), received.shape().text());
  SWITCHYARD_CHECK(row_bytes(sorted) == row_bytes(received) && sorted.dtype() == received.dtype(),
                   "rows of one width and dtype; got {} and {} bytes a row", row_bytes(sorted),
                   row_bytes(received));
}

/// The byte ranges of a round on both sides.
struct RoundBytes {
  RoundBytes(const ExchangePlan& plan, int round, std::size_t bytes_per_row) {
    const auto width = static_cast<std::int64_t>(bytes_per_row);
    for (int peer = 0; peer < plan.ranks(); ++peer) {
      sorted_bytes.push_back(plan.send_rows(round, peer) * width);
      sorted_offsets.push_back(plan.send_begin(round, peer) * width);
      received_bytes.push_back(plan.receive_rows(round, peer) * width);
      received_offsets.push_back(plan.receive_begin(round, peer) * width);
    }
  }
  std::vector<std::int64_t> sorted_bytes, sorted_offsets, received_bytes, received_offsets;
};

/// For a group of one, where rows are at most moved within this rank's memory, at once.
class Done final : public Pending {
 public:
  void wait() override {}
  bool poll() override { return true; }
};

std::unique_ptr<Pending> move_rows(TensorView to, ConstTensorView from) {
  SWITCHYARD_CHECK(to.raw() == from.raw() || to.device() == Device::cpu,
                   "on a device the rows of a round are the sorted rows themselves");
  if (to.raw() != from.raw() && from.bytes() > 0) std::memcpy(to.raw(), from.raw(), from.bytes());
  return std::make_unique<Done>();
}

}  // namespace

RowExchange::RowExchange(Communicator& group, std::int64_t experts, std::int64_t max_rows)
    : group_(group), experts_(experts), max_rows_(max_rows) {
  SWITCHYARD_CHECK(experts > 0 && experts % group.size() == 0, "{} experts shared by {} ranks", experts,
                   group.size());
  if (max_rows != 0 && max_rows < kernels::kGradientBlockRows) {
    throw UserError(
        fmt::format("parallel.exchange_rows, the bound on the rows of one round, must be 0 (none) or at "
                    "least {}, the rows "
                    "of a gradient block; got {}",
                    kernels::kGradientBlockRows, max_rows));
  }
}

ExchangePlan RowExchange::plan(ConstTensorView counts) {
  check_tensor("counts", counts, DType::i32, {experts_});
  std::vector<std::int32_t> all(static_cast<std::size_t>(group_.size() * experts_));
  group_.all_gather(memory(counts), bytes_of(std::span(all)));
  return ExchangePlan(group_.rank(), group_.size(), experts_, all, max_rows_);
}

TensorView RowExchange::received(const ExchangePlan& plan, int round, TensorView sorted,
                                 TensorView buffer) const {
  if (group_.size() == 1) return sorted.rows(plan.send_begin(round, 0), plan.rows(round));
  SWITCHYARD_CHECK(buffer.dim(0) >= plan.rows(round), "the buffer must hold the {} rows of round {}; got {}",
                   plan.rows(round), round, buffer.shape().text());
  return buffer.rows(0, plan.rows(round));
}

std::unique_ptr<Pending> RowExchange::start_dispatch(const ExchangePlan& plan, int round, TensorView received,
                                                     ConstTensorView sorted) {
  check_rows(plan, round, received, sorted);
  if (group_.size() == 1)
    return move_rows(received, sorted.rows(plan.send_begin(round, 0), plan.rows(round)));
  const RoundBytes bytes(plan, round, row_bytes(sorted));
  return group_.start_all_to_all_v(
      memory(sorted), memory(received),
      {bytes.sorted_bytes, bytes.sorted_offsets, bytes.received_bytes, bytes.received_offsets},
      sorted.device());
}

std::unique_ptr<Pending> RowExchange::start_combine(const ExchangePlan& plan, int round, TensorView sorted,
                                                    ConstTensorView received) {
  check_rows(plan, round, received, sorted);
  if (group_.size() == 1)
    return move_rows(sorted.rows(plan.send_begin(round, 0), plan.rows(round)), received);
  const RoundBytes bytes(plan, round, row_bytes(sorted));
  return group_.start_all_to_all_v(
      memory(received), memory(sorted),
      {bytes.received_bytes, bytes.received_offsets, bytes.sorted_bytes, bytes.sorted_offsets},
      sorted.device());
}

void RowExchange::dispatch(const ExchangePlan& plan, int round, TensorView received, ConstTensorView sorted) {
  start_dispatch(plan, round, received, sorted)->wait();
}

void RowExchange::combine(const ExchangePlan& plan, int round, TensorView sorted, ConstTensorView received) {
  start_combine(plan, round, sorted, received)->wait();
}

}  // namespace switchyard::parallel
