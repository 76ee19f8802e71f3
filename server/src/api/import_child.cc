#include "api/import_child.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "zn/formats/batch_stream.h"

namespace zn::server {
namespace {

using formats::StreamMessage;

constexpr int kFileInChild = 3;
constexpr size_t kMaxWarnings = 100;

}  // namespace

Result<std::unique_ptr<ImportChild>> ImportChild::Start(const ImportChildOptions& options) {
  int ends[2];
  if (::pipe2(ends, O_CLOEXEC) != 0) return Error{ErrorCode::kIo, "cannot make a pipe: " + std::string(std::strerror(errno))};
  ::fcntl(ends[0], F_SETPIPE_SZ, 1 << 20);  // more at a time; without it all works as well

  std::vector<std::string> arguments = {"zn-import",
                                        "/proc/self/fd/" + std::to_string(kFileInChild),
                                        "--stream",
                                        "--sandbox",
                                        "--max-memory=" + std::to_string(options.memory_bytes),
                                        "--max-seconds=" + std::to_string(options.cpu_seconds)};
  arguments.insert(arguments.end(), options.arguments.begin(), options.arguments.end());
  std::vector<char*> argv;
  for (std::string& argument : arguments) argv.push_back(argument.data());
  argv.push_back(nullptr);
  char locale[] = "LC_ALL=C.UTF-8";
  char* environment[] = {locale, nullptr};  // nothing of the server's: it may hold passwords

  posix_spawn_file_actions_t files;
  posix_spawn_file_actions_init(&files);
  posix_spawn_file_actions_addopen(&files, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
  posix_spawn_file_actions_adddup2(&files, ends[1], STDOUT_FILENO);
  posix_spawn_file_actions_addopen(&files, STDERR_FILENO, "/dev/null", O_WRONLY, 0);
  posix_spawn_file_actions_adddup2(&files, options.file, kFileInChild);
  posix_spawn_file_actions_addclosefrom_np(&files, kFileInChild + 1);
  posix_spawnattr_t attributes;
  posix_spawnattr_init(&attributes);
  sigset_t none, defaults;
  sigemptyset(&none);
  sigemptyset(&defaults);
  sigaddset(&defaults, SIGPIPE);
  posix_spawnattr_setsigmask(&attributes, &none);
  posix_spawnattr_setsigdefault(&attributes, &defaults);
  posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF);
  pid_t pid = -1;
  const int failed = ::posix_spawn(&pid, options.program.c_str(), &files, &attributes, argv.data(), environment);
  posix_spawnattr_destroy(&attributes);
  posix_spawn_file_actions_destroy(&files);
  ::close(ends[1]);
  if (failed != 0) {
    ::close(ends[0]);
    return Error{ErrorCode::kIo, "cannot start " + options.program + ": " + std::strerror(failed)};
  }
  std::unique_ptr<ImportChild> child(new ImportChild());
  child->pipe_ = ends[0];
  child->pid_ = pid;
  child->bytes_left_ = options.max_bytes;
  child->silent_seconds_ = options.cpu_seconds;
  return child;
}

ImportChild::~ImportChild() {
  Kill();
  {
    const std::lock_guard lock(mutex_);
    if (pid_ > 0) ::waitpid(pid_, nullptr, 0);
    pid_ = -1;
  }
  ::close(pipe_);
}

void ImportChild::Kill() {
  killed_ = true;
  const std::lock_guard lock(mutex_);
  if (pid_ > 0) ::kill(pid_, SIGKILL);
}

// The pipe ended in the middle of a stream.
Error ImportChild::Ended() {
  int status = 0;
  // It may have closed the pipe and stayed.
  constexpr int kPatienceMs = 2000;
  for (int waited = 0;; waited += 10) {
    if (waited >= kPatienceMs) Kill();
    {
      const std::lock_guard lock(mutex_);
      if (pid_ > 0 && ::waitpid(pid_, &status, waited >= kPatienceMs ? 0 : WNOHANG) == 0) {
        // still there
      } else {
        pid_ = -1;
        break;
      }
    }
    ::usleep(10'000);
  }
  if (killed_) return {ErrorCode::kCancelled, "the import was cancelled"};
  if (WIFSIGNALED(status) && (WTERMSIG(status) == SIGXCPU || WTERMSIG(status) == SIGKILL))
    return {ErrorCode::kTooLarge, "reading the file took more processor time or memory than imports are granted here"};
  if (WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT)
    return {ErrorCode::kTooLarge, "reading the file took more memory than imports are granted here, or failed inside"};
  if (WIFSIGNALED(status))
    return {ErrorCode::kInvalidArgument, "the program that reads the file crashed on it (signal " +
                                             std::to_string(WTERMSIG(status)) + "): the file is damaged"};
  return {ErrorCode::kInvalidArgument, "the program that reads the file ended with code " + std::to_string(WEXITSTATUS(status))};
}

Result<> ImportChild::ReadAll(std::byte* out, size_t size) {
  int64_t silent = 0;
  while (size > 0) {
    pollfd ready{pipe_, POLLIN, 0};
    const int polled = ::poll(&ready, 1, 1000);
    if (killed_) return Ended();
    if (polled == 0 && ++silent > silent_seconds_) {  // asleep, which costs no processor time
      Kill();
      return Error{ErrorCode::kTooLarge, "reading the file made no progress for too long"};
    }
    if (polled <= 0) continue;
    const ssize_t n = ::read(pipe_, out, size);
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) return Ended();
    out += n;
    size -= static_cast<size_t>(n);
    silent = 0;
  }
  return {};
}

Result<std::optional<FrameBatch>> ImportChild::Next() {
  for (;;) {
    std::byte head[formats::kStreamHeader];
    ZN_RETURN_IF_ERROR(ReadAll(head, sizeof head));
    ZN_ASSIGN_OR_RETURN(const formats::StreamHeader header, formats::DecodeStreamHeader(head));
    bytes_left_ -= static_cast<int64_t>(header.length);
    if (bytes_left_ < 0) return Error{ErrorCode::kTooLarge, "the file holds more data than an upload may"};
    std::vector<std::byte> payload(header.length);
    ZN_RETURN_IF_ERROR(ReadAll(payload.data(), payload.size()));
    const std::string text(reinterpret_cast<const char*>(payload.data()), std::min<size_t>(payload.size(), 4096));
    switch (header.kind) {
      case StreamMessage::kBatch: {
        ZN_ASSIGN_OR_RETURN(FrameBatch batch, formats::DecodeBatch(Buffer::Own(std::move(payload))));
        return std::optional<FrameBatch>(std::move(batch));
      }
      case StreamMessage::kProgress:
        if (payload.size() == sizeof(double)) {
          double progress;
          std::memcpy(&progress, payload.data(), sizeof progress);
          progress_.store(progress >= 0 && progress <= 1 ? progress : 0, std::memory_order_relaxed);
        }
        break;
      case StreamMessage::kWarning:
        if (warnings_.size() < kMaxWarnings) warnings_.push_back(text);
        break;
      case StreamMessage::kError:
        return Error{ErrorCode::kInvalidArgument, text};
      case StreamMessage::kEnd:
        return std::optional<FrameBatch>();
    }
  }
}

}  // namespace zn::server
