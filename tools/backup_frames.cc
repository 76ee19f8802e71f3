#include "backup_frames.h"

#include <cstdlib>
#include <filesystem>

#include "export_source.h"

namespace zn::tools {
namespace {

/// A directory beside the store, for what of the snapshot has to be files; gone at the end.
class Scratch {
 public:
  explicit Scratch(const std::string& beside) : path_(beside + ".restoring-XXXXXX") {
    made_ = ::mkdtemp(path_.data()) != nullptr;
  }
  ~Scratch() {
    std::error_code ignored;
    if (made_) std::filesystem::remove_all(path_, ignored);
  }
  Scratch(const Scratch&) = delete;
  Scratch& operator=(const Scratch&) = delete;
  bool made() const { return made_; }
  const std::string& path() const { return path_; }

 private:
  std::string path_;
  bool made_ = false;
};

tl::unexpected<Failure> Fail(Fault fault, Error error) {
  return tl::unexpected<Failure>(Failure{fault, std::move(error)});
}

Result<> Copy(const ExportSource& source, BulkAppender& into, const std::atomic<bool>& stop,
              const std::function<void(const BackupProgress&)>& progress) {
  constexpr int64_t kWindowBytes = 32 << 20;
  const auto fields = source.AllFields();
  ZN_ASSIGN_OR_RETURN(const int64_t window, source.FramesFor(fields, kWindowBytes));
  for (int64_t first = 0; first < source.frames();) {
    if (stop) return Error{ErrorCode::kCancelled, "stopped; the store is as it was"};
    const int64_t count = std::min(window, source.frames() - first);
    ZN_ASSIGN_OR_RETURN(const FrameBatch batch, source.Read(first, count, fields));
    ZN_RETURN_IF_ERROR(into.Append(batch));
    first += count;
    progress(
        {"restoring frames", static_cast<uint64_t>(first), static_cast<uint64_t>(source.frames())});
  }
  return {};
}

}  // namespace

tl::expected<FramesRestored, Failure> RestoreFrames(
    BackupRepository& repository, const FramesRestore& options, const std::atomic<bool>& stop,
    const std::function<void(const BackupProgress&)>& progress) {
  std::string beside = options.store;
  while (beside.size() > 1 && beside.back() == '/') beside.pop_back();
  const Scratch scratch(beside);
  if (!scratch.made())
    return Fail(Fault::kStore, {ErrorCode::kIo, "cannot make a directory beside " + options.store});
  auto snapshot = repository.OpenSnapshot(options.snapshot, scratch.path());
  if (!snapshot) return Fail(Fault::kFile, std::move(snapshot).error());

  ExportOptions what;
  what.room = options.room;
  what.indices = options.indices;
  what.fields = options.fields;
  what.threads = options.threads;
  auto source = ExportSource::Over(std::move(*snapshot), what);
  if (!source) return tl::unexpected<Failure>(std::move(source).error());

  StoreOptions store_options;
  store_options.create = true;
  store_options.threads = options.threads;
  auto store = Store::Open(options.store, store_options);
  if (!store) return Fail(Fault::kStore, std::move(store).error());
  FramesRestored restored;
  restored.room = options.as.empty() ? (*source)->room() : options.as;
  BulkAppender::Options bulk;
  bulk.operation = Operation::kRestore;
  auto into = (*store)->CreateRoomByImport(restored.room, {}, "", bulk);
  if (!into) return Fail(Fault::kUsage, std::move(into).error().Context("room " + restored.room));
  if (auto copied = Copy(**source, **into, stop, progress); !copied)
    return Fail(Fault::kFile, std::move(copied).error());
  CommitContext context;
  context.actor = "zn-backup";
  context.message =
      "restored from snapshot " + options.snapshot.substr(0, 8) + ", room " + options.room;
  if (auto finished = (*into)->Finish(context); !finished)
    return Fail(Fault::kStore, std::move(finished).error());
  const BulkAppender::Stats stats = (*into)->stats();
  restored.frames = stats.frames;
  restored.atoms = stats.atoms;
  restored.stored_bytes = stats.stored_bytes;
  return restored;
}

}  // namespace zn::tools
