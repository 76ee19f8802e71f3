#include "backup/repository_lock.h"

#include <sys/stat.h>
#include <unistd.h>

#include <ctime>
#include <thread>

#include "backup/object_id.h"

namespace zn::backup {
namespace {

constexpr std::string_view kSuffix = ".lock";
constexpr std::string_view kExclusiveWord = "exclusive";

std::string Now() {
  const std::time_t now = std::time(nullptr);
  std::tm parts{};
  ::gmtime_r(&now, &parts);
  char text[32];
  std::strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%SZ", &parts);
  return text;
}

/// "exclusive prune by process 123 on host since 2026-01-02T03:04:05Z": for people, but for its
/// first word.
std::string Describe(RepositoryLock::Kind kind, std::string_view command) {
  char host[256] = "?";
  (void)::gethostname(host, sizeof host - 1);
  return std::string(kind == RepositoryLock::Kind::kExclusive ? kExclusiveWord : "shared") + " " +
         std::string(command) + " by process " + std::to_string(::getpid()) + " on " + host +
         " since " + Now();
}

std::string Text(const File& file) {
  const auto size = file.Size();
  if (!size || *size > 4096) return "?";
  std::string text(static_cast<size_t>(*size), '\0');
  if (!file.ReadAt(0, std::as_writable_bytes(std::span(text)))) return "?";
  return text;
}

/// Is the file still what stands under its name? Another may have removed it in between.
bool StillThere(const File& file, const std::string& path) {
  struct stat here, there;
  return ::fstat(file.fd(), &here) == 0 && ::stat(path.c_str(), &there) == 0 &&
         here.st_ino == there.st_ino && here.st_dev == there.st_dev;
}

}  // namespace

Result<std::unique_ptr<RepositoryLock>> RepositoryLock::Take(
    const std::string& repository, Kind kind, std::string_view command,
    std::chrono::milliseconds wait, const std::function<void(const std::string&)>& notice) {
  const std::string directory = repository + "/locks";
  // Two that look at the same stale lock at once take each other for its holder, but not for long.
  const auto deadline = std::chrono::steady_clock::now() + wait + std::chrono::milliseconds(300);
  ZN_RETURN_IF_ERROR(MakeDirectory(directory));
  for (;;) {
    std::unique_ptr<RepositoryLock> lock(new RepositoryLock());
    const std::string name = RandomId::New().Hex();
    const std::string temporary = directory + "/" + name + ".tmp";
    // Locked before it has its name, so that a lock with a name that nobody holds is a stale one.
    ZN_ASSIGN_OR_RETURN(lock->file_, File::Open(temporary, File::kCreateNew));
    lock->path_ = temporary;
    ZN_RETURN_IF_ERROR(lock->file_.TryLock(true));
    const std::string text = Describe(kind, command);
    ZN_RETURN_IF_ERROR(lock->file_.WriteAt(0, std::as_bytes(std::span(text))));
    const std::string path = directory + "/" + name + std::string(kSuffix);
    ZN_RETURN_IF_ERROR(RenameFile(temporary, path));
    lock->path_ = path;

    // Everyone makes his own lock first and looks for others then: of two that exclude each other
    // at least one sees it.
    std::string in_the_way;
    ZN_ASSIGN_OR_RETURN(const auto names, ListDirectory(directory));
    for (const std::string& other : names) {
      const std::string other_path = directory + "/" + other;
      if (other_path == path || !other.ends_with(kSuffix)) continue;
      auto file = File::Open(other_path, File::kRead);
      if (!file) continue;  // released just now
      const std::string what = Text(*file);
      const auto taken = file->TryLock(true);
      if (taken) {
        if (!StillThere(*file, other_path)) continue;
        if (notice)
          notice("removed a stale lock, of a process that ended without releasing it: " + what);
        ZN_RETURN_IF_ERROR(RemoveFile(other_path));
        continue;
      }
      if (taken.error().code != ErrorCode::kBusy) return taken.error();
      if (kind == Kind::kExclusive || what.rfind(kExclusiveWord, 0) == 0) in_the_way = what;
    }
    if (in_the_way.empty()) return lock;
    if (std::chrono::steady_clock::now() >= deadline)
      return Error{ErrorCode::kBusy, "the repository " + repository + " is in use: " + in_the_way};
    lock.reset();
    std::this_thread::sleep_for(std::chrono::milliseconds(100));
  }
}

RepositoryLock::~RepositoryLock() {
  if (!path_.empty()) (void)RemoveFile(path_);
}

}  // namespace zn::backup
