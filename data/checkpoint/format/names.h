// The names that the store gives to files and folders, and which of them count.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace switchyard::data {

inline constexpr std::string_view kManifestName = "manifest.json";
inline constexpr std::string_view kRunLockName = "run.lock";
/// Locked while run.lock is looked at or changed; never removed.
inline constexpr std::string_view kLockGuardName = ".run.guard";
/// Folders being written or being deleted. Nobody resumes from a dot name.
inline constexpr std::string_view kAttemptPrefix = ".tmp-";
inline constexpr std::string_view kTrashPrefix = ".trash-";

/// "step-00001000"; more digits from step 10^8 on. Steps are not negative.
std::string step_folder_name(std::int64_t step);
/// Inverse of step_folder_name; empty for any other spelling ("step-1000", "1000", "Step-00001000").
std::optional<std::int64_t> parse_step_folder_name(std::string_view name);
/// "part-00003.safetensors".
std::string part_file_name(int index);
/// `text` with everything but letters, digits, '-' and '_' replaced by '_', at most 64 characters: fit for a
/// name.
std::string name_component(std::string_view text);

}  // namespace switchyard::data
