// The watchdog of a training rank: set up from the configuration, its findings put into the program's words,
// its flight records kept in the run's folder.
#pragma once

#include <filesystem>
#include <memory>
#include <string>

#include "app/config/config.h"
#include "app/watch/flight_file.h"
#include "parallel/communicators/mpi.h"
#include "parallel/watchdog/watchdog.h"

namespace switchyard::app {

class RankWatch {
 public:
  /// Collective; from here on the world's collectives are followed. Throws DeviceError.
  RankWatch(parallel::MpiWorld& world, const Config& config, const std::filesystem::path& flights,
            const parallel::GuardianLink& guardian);
  ~RankWatch();
  RankWatch(const RankWatch&) = delete;
  RankWatch& operator=(const RankWatch&) = delete;

  parallel::Recorder& recorder() { return watchdog_->recorder(); }
  /// The run on this rank ends with an exception: its flight record is kept before the ranks are ended.
  void failing(const std::exception_ptr& error);

 private:
  void tell(parallel::Fate fate, const std::string& text) const;

  std::int64_t rank_;
  std::string host_;
  FlightWriter writer_;
  bool catches_faults_ = false;
  std::unique_ptr<parallel::Watchdog> watchdog_;
};

}  // namespace switchyard::app
