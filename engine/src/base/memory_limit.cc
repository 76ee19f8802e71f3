#include "base/memory_limit.h"

#include <unistd.h>

#include <algorithm>
#include <charconv>
#include <string>
#include <string_view>

#include "base/file.h"

namespace zn {
namespace {

constexpr int64_t kMostBytes = 64 << 10;  // of a file in /proc or /sys that is read here

std::string ReadText(const std::string& path) {
  // Such files say that they have no bytes: read until the end.
  auto file = File::Open(path, File::kRead);
  std::string text(kMostBytes, '\0');
  if (!file) return {};
  const ssize_t size = ::read(file->fd(), text.data(), text.size());
  text.resize(static_cast<size_t>(std::max<ssize_t>(size, 0)));
  return text;
}

// The smallest limit of the group and those around it; INT64_MAX when there is none.
int64_t LimitOf(const std::string& root, std::string group, const char* file) {
  int64_t limit = INT64_MAX;
  for (;;) {
    const std::string text = ReadText(root + group + "/" + file);
    int64_t value;
    if (std::from_chars(text.data(), text.data() + text.size(), value).ec == std::errc())
      limit = std::min(limit, value);  // "max" is no number
    if (group.size() <= 1) return limit;
    group.resize(group.find_last_of('/'));
  }
}

}  // namespace

int64_t MemoryLimit() {
  int64_t limit = static_cast<int64_t>(sysconf(_SC_PHYS_PAGES)) * sysconf(_SC_PAGESIZE);
  const std::string groups = ReadText("/proc/self/cgroup");
  for (std::string_view rest = groups; !rest.empty();) {
    // hierarchy:controllers:path
    const std::string_view line = rest.substr(0, rest.find('\n'));
    rest.remove_prefix(std::min(rest.size(), line.size() + 1));
    const size_t first = line.find(':'), second = line.find(':', first + 1);
    if (first == line.npos || second == line.npos) continue;
    const std::string_view controllers = line.substr(first + 1, second - first - 1);
    const std::string path(line.substr(second + 1));
    if (controllers.empty())
      limit = std::min(limit, LimitOf("/sys/fs/cgroup", path, "memory.max"));
    else if (controllers == "memory")
      limit = std::min(limit, LimitOf("/sys/fs/cgroup/memory", path, "memory.limit_in_bytes"));
  }
  return limit;
}

}  // namespace zn
