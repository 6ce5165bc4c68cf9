#include "tests/data/checkpoint/works.h"

#include <chrono>

#include "data/checkpoint/format/names.h"
#include "data/checkpoint/keep/retention.h"
#include "tests/data/checkpoint/sample.h"

namespace switchyard::data {
namespace {

SaveSpec save_spec(std::int64_t step) {
  return {step, 2, static_cast<std::uint64_t>(step), "sample", kWorkKilobytes};
}

}  // namespace

void prepare(Io& io, const std::filesystem::path& root) {
  save_sample(io, root, save_spec(1));
  save_sample(io, root, save_spec(2));
  const auto attempt = begin_attempt(io, root, {3, "dead", "nonce", 0});
  const auto tensors = sample_tensors(3, kWorkKilobytes);
  write_part(io, attempt, 0, cut_at_random(tensors, 1, 1)[0]);
  io.make_folder(root / ".trash-step-00000000-dead-0");
  write_whole_file(io, root / ".trash-step-00000000-dead-0" / "part-00000.safetensors", "x");
  io.sync_folder(root);
}

void perform(Work work, Io& io, const std::filesystem::path& root) {
  switch (work) {
    case Work::save:
      save_sample(io, root, save_spec(3));
      break;
    case Work::deletion:
      apply_retention(io, root, {1, 0, "sample", {}});
      break;
    case Work::recovery: {
      // The process that a fault strikes is dead afterwards: another start time than ours stands for that. A
      // long lease keeps the beating thread out of the count of calls.
      LockOwner owner = LockOwner::self();
      ++owner.start_ticks;
      const RunLock lock(io, root, {std::chrono::hours(1), owner});
      clean_abandoned(io, lock);
      const auto newest = find_newest(io, root, {"sample", true});
      if (newest.checkpoint)
        difference_from_sample(io, newest.checkpoint->path, newest.checkpoint->step, kWorkKilobytes);
      save_sample(io, root, save_spec(3));
      apply_retention(io, root, {1, 0, "sample", {3}});
      break;
    }
  }
}

std::string broken_promise(Io& io, const std::filesystem::path& root, std::int64_t* step) {
  const auto newest = find_newest(io, root, {"sample", true});
  if (!newest.checkpoint) return "no checkpoint is valid";
  const std::int64_t found = newest.checkpoint->step;
  if (step != nullptr) *step = found;
  if (found != 2 && found != 3) return "the newest is step " + std::to_string(found);
  return difference_from_sample(io, newest.checkpoint->path, found, kWorkKilobytes);
}

std::string cannot_go_on(Io& io, const std::filesystem::path& root) {
  {
    const RunLock lock(io, root, {std::chrono::hours(1), LockOwner::self()});
    clean_abandoned(io, lock);
  }
  save_sample(io, root, save_spec(4));
  apply_retention(io, root, {1, 0, "sample", {}});
  for (const auto& name : io.list(root))
    if (name != "step-00000004" && name != kLockGuardName) return name + " is left";
  return "";
}

}  // namespace switchyard::data
