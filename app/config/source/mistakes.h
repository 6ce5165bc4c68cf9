// Mistakes of a configuration: collected while it is read, thrown together.
#pragma once

#include <string>
#include <vector>

#include "kernels/runtime/error.h"

namespace switchyard::app {

/// Where a value stands. Lines and columns count from 1, columns in bytes. `override_index` > 0 is the n-th
/// --set of the command line, which has no line.
struct Place {
  int override_index = 0;
  int line = 0;
  int column = 0;

  auto operator<=>(const Place&) const = default;
};

struct Mistake {
  Place place;
  std::string key;   ///< full path, "model.heads"; empty where no key is concerned
  std::string rule;  ///< what is required
  std::string got;   ///< what was found; may be empty
  std::string hint;  ///< "did you mean ...?" or what to do; may be empty
};

/// All mistakes of one configuration, sorted by place; what() holds a line for each (the first 50).
class ConfigError : public UserError {
 public:
  /// `source` names the file in messages.
  ConfigError(const std::string& source, std::vector<Mistake> mistakes);
  const std::vector<Mistake>& mistakes() const { return mistakes_; }

 private:
  std::vector<Mistake> mistakes_;
};

/// `file:line:col: key: rule; got ...; hint`, without the parts that are empty.
std::string mistake_line(const std::string& source, const Mistake& mistake);

}  // namespace switchyard::app
