#include <fmt/format.h>
#include <unistd.h>

#include <atomic>
#include <charconv>
#include <cstdio>
#include <cstdlib>
#include <optional>

#include "kernels/runtime/check.h"
#include "parallel/communicators/local.h"
#include "parallel/communicators/mpi.h"
#include "parallel/communicators/mpi_communicator.h"

namespace switchyard::parallel {

namespace {

/// Variables that launchers set for each process: Open MPI's mpirun; PMIx (Slurm, PRRTE); PMI (MPICH, Slurm).
bool started_by_launcher() {
  for (const char* name : {"OMPI_COMM_WORLD_SIZE", "PMIX_RANK", "PMI_RANK"}) {
    if (std::getenv(name) != nullptr) return true;
  }
  return false;
}

void refuse_lonely_slurm_task(int size) {
  const char* text = std::getenv("SLURM_NTASKS");
  // Open MPI's own mpirun says how many ranks were asked for: -n 1 inside a larger job is the user's wish.
  if (text == nullptr || size > 1 || std::getenv("OMPI_COMM_WORLD_SIZE") != nullptr) return;
  int tasks = 0;
  const std::string_view view(text);
  std::from_chars(view.data(), view.data() + view.size(), tasks);
  if (tasks <= 1) return;
  throw UserError(fmt::format(
      "the tasks of a Slurm job must find each other through MPI; SLURM_NTASKS is {} but MPI sees 1 rank. "
      "Start with `mpirun -n {} switchyard ...` inside the job, or with `srun --mpi=pmix` where `srun "
      "--mpi=list` offers pmix; for one rank set `--ntasks=1`",
      tasks, tasks));
}

std::string host_name() {
  std::array<char, 256> name{};
  if (gethostname(name.data(), name.size() - 1) != 0) return "unknown host";
  return name.data();
}

}  // namespace

struct MpiWorld::State {
  std::unique_ptr<Communicator> communicator;
  HostPlace place;
  bool over_mpi = false;
  MpiHandle host;
  MPI_Win window = MPI_WIN_NULL;
  /// Shared by the ranks of the host: 1 once a rank has printed why it failed.
  std::int64_t* failure_printed = nullptr;
  std::int64_t own_flag = 0;
  std::shared_ptr<void> companion;

  void open(const MpiOptions& options);
  void share_flag();
};

void MpiWorld::State::open(const MpiOptions& options) {
  int provided = MPI_THREAD_SINGLE;
  // Several threads: a watchdog must be able to end all ranks while the rank's own thread is in a collective.
  check_mpi(MPI_Init_thread(nullptr, nullptr, MPI_THREAD_MULTIPLE, &provided), "MPI_Init_thread");
  over_mpi = true;
  if (provided < MPI_THREAD_MULTIPLE) {
    throw DeviceError(
        fmt::format("MPI must allow calls from several threads (MPI_THREAD_MULTIPLE); it offers level "
                    "{}. Use an MPI built with thread support",
                    provided));
  }
  MPI_Comm world = MPI_COMM_NULL;
  check_mpi(MPI_Comm_dup(MPI_COMM_WORLD, &world), "duplicate the world");
  communicator = make_mpi_communicator(MpiHandle(world), "world", options);
  share_flag();
}

void MpiWorld::State::share_flag() {
  MPI_Comm part = MPI_COMM_NULL;
  check_mpi(MPI_Comm_split_type(MPI_COMM_WORLD, MPI_COMM_TYPE_SHARED, 0, MPI_INFO_NULL, &part),
            "split by host");
  host = MpiHandle(part);
  check_mpi(MPI_Comm_rank(part, &place.rank_on_host), "rank");
  check_mpi(MPI_Comm_size(part, &place.ranks_on_host), "size");
  std::int64_t* mine = nullptr;
  const MPI_Aint bytes = place.rank_on_host == 0 ? sizeof(std::int64_t) : 0;
  check_mpi(MPI_Win_allocate_shared(bytes, 8, MPI_INFO_NULL, part, static_cast<void*>(&mine), &window),
            "shared memory of the host");
  MPI_Aint size = 0;
  int unit = 0;
  check_mpi(MPI_Win_shared_query(window, 0, &size, &unit, static_cast<void*>(&failure_printed)),
            "shared memory of the host");
  if (place.rank_on_host == 0) *failure_printed = 0;
  check_mpi(MPI_Barrier(part), "shared memory of the host");
}

MpiWorld::MpiWorld(const MpiOptions& options) : state_(std::make_unique<State>()) {
  state_->place.host = host_name();
  state_->failure_printed = &state_->own_flag;
  if (started_by_launcher()) {
    state_->open(options);
  } else {
    state_->communicator = single_rank();
  }
  refuse_lonely_slurm_task(state_->communicator->size());
}

MpiWorld::~MpiWorld() {
  if (!state_->over_mpi || std::uncaught_exceptions() > 0) return;
  state_->communicator.reset();
  MPI_Win_free(&state_->window);
  state_->host = MpiHandle();
  MPI_Finalize();
}

void MpiWorld::keep(std::shared_ptr<void> companion) {
  state_->companion = std::move(companion);
}

Communicator& MpiWorld::communicator() {
  return *state_->communicator;
}

const HostPlace& MpiWorld::place() const {
  return state_->place;
}

void MpiWorld::fail(int exit_code, const std::string& cause) {
  if (std::atomic_ref(*state_->failure_printed).exchange(1) == 0) {
    fmt::print(stderr, "{} rank {}: {}\n", state_->place.host, state_->communicator->rank(), cause);
  }
  std::fflush(nullptr);
  if (state_->over_mpi) MPI_Abort(MPI_COMM_WORLD, exit_code);
  std::_Exit(exit_code);
}

int run_ranks(const MpiOptions& options, const std::function<int(MpiWorld&)>& body,
              const std::function<int(const std::exception&)>& exit_code) {
  std::optional<MpiWorld> world;
  try {
    world.emplace(options);
  } catch (const std::exception& error) {
    fmt::print(stderr, "{}\n", error.what());
    std::fflush(nullptr);
    std::_Exit(exit_code(error));
  }
  int code = 0;
  try {
    code = body(*world);
  } catch (const std::exception& error) {
    world->fail(exit_code(error), error.what());
  }
  return code;
}

}  // namespace switchyard::parallel
