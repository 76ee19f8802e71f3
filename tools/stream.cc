#include "stream.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <cstring>

#include "exit_code.h"
#include "zn/formats/batch_stream.h"

namespace zn::tools {
namespace {

using formats::StreamMessage;

bool WriteAll(std::span<const std::byte> bytes) {
  while (!bytes.empty()) {
    const ssize_t n = ::write(STDOUT_FILENO, bytes.data(), bytes.size());
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) return false;  // whoever reads is gone
    bytes = bytes.subspan(static_cast<size_t>(n));
  }
  return true;
}

bool Send(StreamMessage kind, std::span<const std::byte> payload) {
  std::byte header[formats::kStreamHeader];
  formats::EncodeStreamHeader({kind, payload.size()}, header);
  return WriteAll(header) && WriteAll(payload);
}

bool SendText(StreamMessage kind, const std::string& text) { return Send(kind, std::as_bytes(std::span(text))); }

// `path` means nothing to whoever reads this.
int Fail(const Error& error, const std::string& path = "") {
  std::string message = error.message;
  for (size_t at; !path.empty() && (at = message.find(path)) != message.npos;) message.replace(at, path.size(), "the file");
  SendText(StreamMessage::kError, message);
  return kExitFile;
}

}  // namespace

int StreamFile(const ImportOptions& options, const SandboxLimits* limits) {
  std::signal(SIGPIPE, SIG_IGN);  // whoever reads may go
  const int file = ::open(options.files.front().c_str(), O_RDONLY | O_CLOEXEC);
  if (file < 0) return Fail({ErrorCode::kIo, "cannot read the upload: " + std::string(std::strerror(errno))});
  // Readers open by path: this one names the open file, wherever it lies and whether or not it has a name still.
  const std::string path = "/proc/self/fd/" + std::to_string(file);
  if (limits != nullptr) {
    if (auto inside = EnterSandbox(file, *limits); !inside) return Fail(inside.error());
  }
  formats::ReadOptions read = options.read;
  read.threads = options.threads;
  read.batch_bytes = 8 << 20;
  auto reader = formats::OpenReader(path, read, options.format);
  if (!reader) return Fail(reader.error(), path);
  bool any = false;
  for (;;) {
    auto batch = (*reader)->Next();
    if (!batch) return Fail(batch.error(), path);
    if (!*batch) break;
    any |= (*batch)->frames() > 0;
    const double progress = (*reader)->progress();
    if (!Send(StreamMessage::kBatch, formats::EncodeBatch(**batch)) ||
        !Send(StreamMessage::kProgress, std::as_bytes(std::span(&progress, 1))))
      return kExitStore;
  }
  for (const formats::Warning& warning : (*reader)->warnings())
    SendText(StreamMessage::kWarning, (warning.place.empty() ? "" : warning.place + ": ") + warning.message +
                                          (warning.count > 1 ? " (" + std::to_string(warning.count) + " times)" : ""));
  if (!any) return Fail({ErrorCode::kInvalidArgument, "the file has no frames"});
  return Send(StreamMessage::kEnd, {}) ? kExitOk : kExitStore;
}

}  // namespace zn::tools
