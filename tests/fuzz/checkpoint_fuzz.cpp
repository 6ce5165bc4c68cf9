// Foreign bytes as a safetensors file, a manifest (with its digest made right, so that the fuzzer gets behind
// it) and a run lock. Anything but an Error of the right class is a finding.
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string>

#include "data/checkpoint/format/manifest.h"
#include "data/checkpoint/keep/run_lock.h"
#include "data/safetensors/header.h"
#include "data/storage/digest.h"

namespace {

using namespace switchyard;
using namespace switchyard::data;

void read_safetensors(const std::string& text) {
  try {
    const auto header =
        parse_safetensors_header(text, static_cast<std::int64_t>(text.size()) + 8 + 64, "fuzz");
    for (const auto& entry : header.entries)
      if (entry.begin < header.data_begin || entry.end < entry.begin || entry.end > header.data_begin + 64)
        std::abort();
  } catch (const DataError&) {
  }
}

void read_manifest_text(const std::string& body) {
  const std::string text = "{\"manifest_digest\":\"" + digest_of(body.data(), body.size()).text() + body;
  try {
    const Manifest manifest = parse_manifest(text, "fuzz");
    // What is accepted must survive being written and read again.
    if (format_manifest(parse_manifest(format_manifest(manifest), "fuzz")) != format_manifest(manifest))
      std::abort();
  } catch (const CheckpointError&) {
  }
}

void read_lock_text(const std::string& text) {
  try {
    LockOwner::parse(text);
  } catch (const DataError&) {
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* bytes, std::size_t size) {
  if (size == 0) return 0;
  const std::string text(reinterpret_cast<const char*>(bytes) + 1, size - 1);
  switch (bytes[0] % 3) {
    case 0:
      read_safetensors(text);
      break;
    case 1:
      read_manifest_text(text);
      break;
    default:
      read_lock_text(text);
  }
  return 0;
}
