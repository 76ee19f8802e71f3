#include "check/check_state.h"

#include <sys/stat.h>

#include <fstream>
#include <sstream>

namespace zn::check {

CheckState::CheckState(std::string path, const std::string& uuid, uint32_t sample_part,
                       uint32_t sample_of)
    : path_(std::move(path)),
      head_("zn-fsck 1 " + uuid + " " + std::to_string(sample_part) + "/" +
            std::to_string(sample_of)) {
  if (path_.empty()) return;
  std::ifstream in(path_);
  std::string line;
  if (!std::getline(in, line) || line != head_) return;
  while (std::getline(in, line)) {
    std::istringstream fields(line);
    uint32_t pack = 0;
    Stamp stamp;
    if (fields >> pack >> stamp.size >> stamp.changed_ns) done_[pack] = stamp;
  }
}

CheckState::Stamp CheckState::StampOf(const File& file) {
  struct stat status {};
  if (::fstat(file.fd(), &status) != 0) return {-1, 0};
  return {status.st_size, int64_t{status.st_mtim.tv_sec} * 1'000'000'000 + status.st_mtim.tv_nsec};
}

bool CheckState::IsDone(uint32_t pack, const File& file) const {
  const auto at = done_.find(pack);
  return at != done_.end() && at->second == StampOf(file);
}

Result<> CheckState::SetDone(uint32_t pack, const File& file) {
  if (path_.empty()) return {};
  done_[pack] = StampOf(file);
  std::string text = head_ + "\n";
  for (const auto& [number, stamp] : done_)
    text += std::to_string(number) + " " + std::to_string(stamp.size) + " " +
            std::to_string(stamp.changed_ns) + "\n";
  return WriteFileAtomically(path_, std::as_bytes(std::span(text.data(), text.size())));
}

}  // namespace zn::check
