#include "app/train/messages.h"

#include <numeric>
#include <span>

namespace switchyard::app {

std::string broadcast_text(parallel::Communicator& world, const std::string& text) {
  std::int64_t size = static_cast<std::int64_t>(text.size());
  world.broadcast(std::as_writable_bytes(std::span(&size, 1)), 0);
  std::string result = world.rank() == 0 ? text : std::string(static_cast<std::size_t>(size), '\0');
  world.broadcast(std::as_writable_bytes(std::span(result)), 0);
  return result;
}

std::vector<std::string> gather_texts(parallel::Communicator& world, const std::string& text) {
  const auto size = static_cast<std::int64_t>(text.size());
  std::vector<std::int64_t> sizes(static_cast<std::size_t>(world.size()));
  world.all_gather(std::as_bytes(std::span(&size, 1)), std::as_writable_bytes(std::span(sizes)));
  std::string all(static_cast<std::size_t>(std::accumulate(sizes.begin(), sizes.end(), std::int64_t{0})),
                  '\0');
  world.all_gather_v(std::as_bytes(std::span(text)), std::as_writable_bytes(std::span(all)), sizes);
  std::vector<std::string> texts;
  std::size_t at = 0;
  for (const std::int64_t bytes : sizes) {
    texts.push_back(all.substr(at, static_cast<std::size_t>(bytes)));
    at += static_cast<std::size_t>(bytes);
  }
  return texts;
}

}  // namespace switchyard::app
