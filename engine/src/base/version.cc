#include "zn/engine/version.h"

#include <charconv>

namespace zn {
namespace {

constexpr char kDigits[] = "0123456789abcdef";

}  // namespace

std::string Sha256::Hex() const {
  std::string text(2 * bytes.size(), '\0');
  for (size_t i = 0; i < bytes.size(); ++i) {
    text[2 * i] = kDigits[std::to_integer<unsigned>(bytes[i]) >> 4];
    text[2 * i + 1] = kDigits[std::to_integer<unsigned>(bytes[i]) & 15];
  }
  return text;
}

std::string CommitId::ToString() const {
  std::string text = std::to_string(generation) + '-';
  for (int shift = 60; shift >= 0; shift -= 4) text += kDigits[(digest >> shift) & 15];
  return text;
}

Result<CommitId> CommitId::Parse(std::string_view text) {
  const auto fail = [&] {
    return Error{ErrorCode::kInvalidArgument,
                 "\"" + std::string(text.substr(0, 64)) +
                     "\" is not a commit: <generation>-<16 hex digits>"};
  };
  const size_t dash = text.find('-');
  // One spelling a commit: no leading zeros and lower case, so that names can be compared as texts.
  if (dash == text.npos || dash == 0 || text.size() != dash + 17) return fail();
  if (text[0] == '0' && dash != 1) return fail();
  CommitId id;
  const auto [end, error] = std::from_chars(text.data(), text.data() + dash, id.generation);
  if (error != std::errc() || end != text.data() + dash) return fail();
  for (char c : text.substr(dash + 1)) {
    const bool digit = c >= '0' && c <= '9';
    if (!digit && (c < 'a' || c > 'f')) return fail();
    id.digest = id.digest << 4 | static_cast<uint64_t>(digit ? c - '0' : c - 'a' + 10);
  }
  return id;
}

Result<> PendingCommit::Wait() {
  std::vector<std::function<Result<>()>> finish;
  {
    const std::lock_guard lock(mutex_);
    finish.swap(finish_);
  }
  for (const auto& step : finish) ZN_RETURN_IF_ERROR(step());
  return {};
}

bool PendingCommit::empty() const {
  const std::lock_guard lock(mutex_);
  return finish_.empty();
}

void PendingCommit::Defer(std::function<Result<>()> finish) {
  const std::lock_guard lock(mutex_);
  finish_.push_back(std::move(finish));
}

std::string_view OperationName(Operation operation) {
  switch (operation) {
    case Operation::kCreate:
      return "create";
    case Operation::kAppend:
      return "append";
    case Operation::kInsert:
      return "insert";
    case Operation::kDelete:
      return "delete";
    case Operation::kReorder:
      return "reorder";
    case Operation::kReplace:
      return "replace";
    case Operation::kEdit:
      return "edit";
    case Operation::kUndo:
      return "undo";
    case Operation::kRedo:
      return "redo";
    case Operation::kRestore:
      return "restore";
    case Operation::kImport:
      return "import";
    case Operation::kFork:
      return "fork";
    case Operation::kMaintenance:
      return "maintenance";
  }
  return "unknown";
}

}  // namespace zn
