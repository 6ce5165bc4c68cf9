// Strikes as the drills of a rank say, between the rank and those who follow it.
#pragma once

#include <cstdint>
#include <vector>

#include "app/drills/drill.h"
#include "data/io/faulting_io.h"
#include "data/io/real_io.h"
#include "kernels/runtime/place.h"
#include "parallel/communicators/communicator.h"

namespace switchyard::app {

/// Each drill strikes once, after the followers have been told where the rank is (slow: from then on). Those
/// for other ranks are left out.
class Drills final : public kernels::PlaceObserver,
                     public parallel::CollectiveObserver,
                     public kernels::Probe {
 public:
  /// The followers outlive the drills.
  Drills(const std::vector<Drill>& drills, int rank, kernels::PlaceObserver& places,
         parallel::CollectiveObserver& collectives);

  void entered(const kernels::Place& place) override;
  void entered(std::string_view communicator, const parallel::Call& call) override;
  void started(std::string_view communicator, const parallel::Call& call) override;
  void waits(std::string_view communicator, const parallel::Call& call) override;
  void left(std::string_view communicator, const parallel::Call& call) override;
  void computed(kernels::Site site, const kernels::Place& place, TensorView values) override;

  /// The disk on which checkpoints go, with the faults of the drills.
  data::Io& io() { return io_; }

 private:
  struct Armed {
    Drill drill;
    bool is_spent = false;
  };
  bool is_due(const Armed& armed, const kernels::Place& place) const;
  void strike(Armed& armed);
  void slow_down(bool was_waiting);

  std::vector<Armed> armed_;
  int rank_;
  kernels::PlaceObserver& places_;
  parallel::CollectiveObserver& collectives_;
  data::RealIo real_;
  data::FaultingIo io_;
  kernels::Place place_;
  double speed_ = 1;
  std::int64_t last_ns_ = 0;
  bool is_waiting_ = false;
};

}  // namespace switchyard::app
