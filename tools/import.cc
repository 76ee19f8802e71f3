#include "import.h"

#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <memory>
#include <nlohmann/json.hpp>
#include <optional>
#include <set>

#include "zn/engine/codec.h"
#include "zn/engine/store.h"

namespace zn::tools {
namespace {

/// Free space of the disk that is left for ending in good order, and for undo and the collection.
constexpr int64_t kReserve = 64 << 20;

namespace fs = std::filesystem;

tl::unexpected<Failure> Fail(Fault fault, Error error) {
  return tl::unexpected<Failure>(Failure{fault, std::move(error)});
}

// A store directory that this run made, and takes away again unless the import was committed.
class NewDirectory {
 public:
  explicit NewDirectory(std::string path) : path_(std::move(path)) {
    std::error_code error;
    exists_ = fs::exists(path_, error);
    had_store_ = exists_ && fs::exists(path_ + "/superblock", error);
    for (const auto& entry : fs::directory_iterator(path_, error))
      had_.insert(entry.path().filename().string());
  }
  bool had_store() const { return had_store_; }

  /// While the store is still open and locked, so that no other process can begin to use it.
  void Withdraw() {
    if (had_store_) return;
    std::error_code error;
    if (!exists_) {
      removed_ = path_ + ".removed-" + std::to_string(::getpid());
      fs::rename(path_, removed_, error);
      if (error) removed_.clear();
      return;
    }
    // The directory was there, empty or nearly: only what appeared in it goes. Without a superblock
    // it is no store.
    fs::remove(path_ + "/superblock", error);
  }
  /// Once the store is closed.
  void Remove() {
    if (had_store_) return;
    std::error_code error;
    if (!removed_.empty()) {
      fs::remove_all(removed_, error);
      return;
    }
    if (!exists_) return;
    std::vector<fs::path> made;
    for (const auto& entry : fs::directory_iterator(path_, error))
      if (!had_.contains(entry.path().filename().string())) made.push_back(entry.path());
    for (const fs::path& path : made) fs::remove_all(path, error);
  }

 private:
  const std::string path_;
  bool exists_ = false, had_store_ = false;
  std::set<std::string> had_;
  std::string removed_;
};

class Importer {
 public:
  Importer(const ImportOptions& options, const std::atomic<bool>& stop,
           const std::function<void(const ImportProgress&)>& progress)
      : options_(options), stop_(stop), report_(progress) {
    for (const std::string& file : options.files) {
      std::error_code error;
      uintmax_t size = fs::file_size(file, error);
      sizes_.push_back(error ? 0.0 : static_cast<double>(size));
      total_size_ += sizes_.back();
    }
  }

  tl::expected<ImportSummary, Failure> Run() {
    if (auto checked = CheckOptions(); !checked)
      return Fail(Fault::kUsage, std::move(checked).error());
    // A file that cannot even be begun leaves the store alone.
    if (auto opened = OpenFile(0); !opened) return tl::unexpected(std::move(opened).error());
    std::optional<FrameBatch> first;
    if (auto batch = Next(); !batch)
      return tl::unexpected(std::move(batch).error());
    else
      first = std::move(*batch);

    if (options_.dry_run) {
      if (auto read = ReadAll(std::move(first)); !read)
        return tl::unexpected(std::move(read).error());
      return std::move(summary_);
    }
    NewDirectory directory(options_.store);
    auto result = Write(std::move(first));
    if (!result && opened_store_) directory.Withdraw();
    bool opened = opened_store_;
    appender_.reset();
    room_.reset();
    store_.reset();
    if (!result) {
      if (opened) directory.Remove();
      return tl::unexpected(std::move(result).error());
    }
    return std::move(summary_);
  }

 private:
  using Step = tl::expected<void, Failure>;

  Result<> CheckOptions() const {
    if (!options_.dry_run) {
      if (options_.store.empty())
        return Error{ErrorCode::kInvalidArgument, "--store DIR says where to import to"};
      if (auto valid = ValidateRoomName(options_.room); !valid)
        return std::move(valid).error().Context("--room");
    }
    if (!options_.layout.codecs.empty()) {
      if (auto codecs = ParseCodecs(options_.layout.codecs, DType::kFloat64); !codecs)
        return std::move(codecs).error().Context("--codec");
    }
    return {};
  }

  tl::expected<void, Failure> OpenFile(size_t index) {
    formats::ReadOptions read = options_.read;
    read.threads = options_.threads;
    auto reader = formats::OpenReader(options_.files[index], read, options_.format);
    if (!reader) {
      // An option that the reader does not understand is no fault of the file's.
      bool usage = reader.error().code == ErrorCode::kInvalidArgument && !options_.format.empty() &&
                   reader.error().message.find("unknown format") != std::string::npos;
      return Fail(usage ? Fault::kUsage : Fault::kFile, std::move(reader).error());
    }
    reader_ = std::move(*reader);
    file_ = index;
    return {};
  }

  // The next batch of all files; nullopt behind the last.
  tl::expected<std::optional<FrameBatch>, Failure> Next() {
    while (true) {
      if (stop_)
        return Fail(Fault::kUsage,
                    Error{ErrorCode::kCancelled, "interrupted; the store is as it was"});
      Result<std::optional<FrameBatch>> batch = reader_->Next();
      if (!batch) {
        TakeWarnings();
        return Fail(Fault::kFile, std::move(batch).error());
      }
      if (*batch) {
        Count(**batch);
        return std::optional<FrameBatch>(std::move(**batch));
      }
      TakeWarnings();
      reader_.reset();
      size_done_ += sizes_[file_];
      if (file_ + 1 == options_.files.size()) return std::optional<FrameBatch>();
      if (auto opened = OpenFile(file_ + 1); !opened)
        return tl::unexpected(std::move(opened).error());
    }
  }

  void TakeWarnings() {
    if (reader_ == nullptr) return;
    for (const formats::Warning& warning : reader_->warnings())
      summary_.warnings.emplace_back(options_.files[file_], warning);
  }

  void Count(const FrameBatch& batch) {
    for (int32_t n : batch.n_atoms) {
      summary_.atoms += n;
      summary_.atoms_min = summary_.frames == 0 ? n : std::min(summary_.atoms_min, n);
      summary_.atoms_max = std::max(summary_.atoms_max, n);
      ++summary_.frames;
    }
    for (const Column& column : batch.columns) {
      summary_.raw_bytes += static_cast<int64_t>(column.data.size());
      for (const std::string& text : column.text)
        summary_.raw_bytes += static_cast<int64_t>(text.size());
    }
    AddToTally(batch, summary_.fields);
    Report(false);
  }

  void Report(bool committing) {
    ImportProgress progress;
    progress.file = options_.files[file_];
    double done = size_done_ + (reader_ != nullptr ? sizes_[file_] * reader_->progress() : 0);
    progress.fraction = committing ? 1 : total_size_ > 0 ? done / total_size_ : 0;
    progress.frames = summary_.frames;
    progress.atoms = summary_.atoms;
    progress.raw_bytes = summary_.raw_bytes;
    progress.committing = committing;
    report_(progress);
  }

  Step ReadAll(std::optional<FrameBatch> batch) {
    while (batch) {
      auto next = Next();
      if (!next) return tl::unexpected(std::move(next).error());
      batch = std::move(*next);
    }
    return CheckAnyFrames();
  }

  Step CheckAnyFrames() const {
    if (summary_.frames > 0) return {};
    return Fail(Fault::kFile, Error{ErrorCode::kInvalidArgument,
                                    options_.files.back() + ": no frames between --start " +
                                        std::to_string(options_.read.start) + " and --stop"});
  }

  Step Write(std::optional<FrameBatch> batch) {
    if (!batch) return CheckAnyFrames();
    StoreOptions store_options;
    store_options.create = true;
    store_options.threads = options_.threads;
    store_options.reserve_bytes = kReserve;
    auto store = Store::Open(options_.store, store_options);
    if (!store) return Fail(Fault::kStore, std::move(store).error());
    store_ = std::move(*store);
    opened_store_ = true;
    if (auto started = StartAppender(); !started) return started;
    while (batch) {
      if (Result<> appended = appender_->Append(*batch); !appended) {
        // A field that does not fit, in the file or with what the room has.
        Fault fault = appended.error().code == ErrorCode::kTypeMismatch ||
                              appended.error().code == ErrorCode::kInvalidArgument
                          ? Fault::kFile
                          : Fault::kStore;
        return Fail(fault, std::move(appended).error().Context(options_.files[file_]));
      }
      auto next = Next();
      if (!next) return tl::unexpected(std::move(next).error());
      batch = std::move(*next);
    }
    Report(true);
    auto commit = appender_->Finish(options_.context);
    if (!commit) return Fail(Fault::kStore, std::move(commit).error());
    BulkAppender::Stats stats = appender_->stats();
    summary_.stored_bytes = stats.stored_bytes;
    summary_.deduplicated_bytes = stats.deduplicated_bytes;
    summary_.chunks = stats.chunks;
    summary_.commit = commit->commit.ToString();
    summary_.room_frames = commit->frames;
    for (std::string& text : stats.warnings)
      summary_.warnings.emplace_back("", formats::Warning{"", std::move(text), 1});
    return {};
  }

  Step StartAppender() {
    BulkAppender::Options append;
    append.layout = options_.layout;
    auto room = store_->OpenRoom(options_.room);
    Result<std::unique_ptr<BulkAppender>> appender = Error{ErrorCode::kInternal, ""};
    if (room) {
      if (!options_.base.empty()) {
        return Fail(Fault::kUsage,
                    Error{ErrorCode::kAlreadyExists,
                          "--base: the room " + options_.room +
                              " exists already; only a new room has a base. Name another room"});
      }
      room_ = std::move(*room);
      appender = room_->StartBulkAppend(append);
    } else if (room.error().code == ErrorCode::kNotFound) {
      appender = store_->CreateRoomByImport(options_.room, RoomModel{}, options_.base, append);
      summary_.created_room = true;
    } else {
      return Fail(Fault::kStore, std::move(room).error());
    }
    if (!appender) {
      bool usage = !options_.base.empty() && (appender.error().code == ErrorCode::kNotFound ||
                                              appender.error().code == ErrorCode::kInvalidArgument);
      return Fail(usage ? Fault::kUsage : Fault::kStore,
                  std::move(appender).error().Context(
                      options_.base.empty() ? "room " + options_.room : "--base " + options_.base));
    }
    appender_ = std::move(*appender);
    return {};
  }

  const ImportOptions& options_;
  const std::atomic<bool>& stop_;
  const std::function<void(const ImportProgress&)>& report_;

  std::vector<double> sizes_;
  double total_size_ = 0, size_done_ = 0;
  std::unique_ptr<formats::Reader> reader_;
  size_t file_ = 0;
  ImportSummary summary_;

  // Destroyed in this order from the last.
  std::unique_ptr<Store> store_;
  bool opened_store_ = false;
  std::shared_ptr<Room> room_;
  std::unique_ptr<BulkAppender> appender_;
};

// The dtype that the store would widen both to.
DType Wider(DType a, DType b) {
  if (a == b) return a;
  if (a == DType::kJson || b == DType::kJson) return DType::kJson;
  if (IsFloating(a) || IsFloating(b))
    return IsFloating(a) && IsFloating(b) ? std::max(a, b) : DType::kFloat64;
  if (a == DType::kBool) return b;
  if (b == DType::kBool) return a;
  return ItemSize(a) > ItemSize(b) ? a : ItemSize(b) > ItemSize(a) ? b : DType::kInt64;
}

}  // namespace

void AddToTally(const FrameBatch& batch, std::map<std::string, FieldTally>& fields) {
  for (const Column& column : batch.columns) {
    int64_t frames = batch.frames();
    if (!column.present.empty())
      frames = std::count(column.present.begin(), column.present.end(), uint8_t{1});
    int64_t bytes = static_cast<int64_t>(column.data.size());
    for (const std::string& text : column.text) bytes += static_cast<int64_t>(text.size());
    auto [it, is_new] = fields.try_emplace(column.name);
    FieldTally& field = it->second;
    if (is_new) {
      field.kind = column.kind;
      field.dtype = column.dtype;
      field.inner = column.inner;
      auto attributes = nlohmann::json::parse(column.attributes.empty() ? "{}" : column.attributes,
                                              nullptr, false);
      if (attributes.is_object()) {
        if (auto unit = attributes.find("unit"); unit != attributes.end() && unit->is_string())
          field.unit = *unit;
        if (auto unit = attributes.find("source_unit");
            unit != attributes.end() && unit->is_string())
          field.source_unit = *unit;
      }
    } else {
      field.dtype = Wider(field.dtype, column.dtype);
      if (field.kind != column.kind || field.inner != column.inner) {
        bool lists = field.kind != FieldKind::kAtom && column.kind != FieldKind::kAtom &&
                     field.inner.rank() <= 1 && column.inner.rank() <= 1;
        if (lists)
          field.kind = FieldKind::kRagged;
        else
          field.dtype = DType::kJson;
        field.inner = Shape();
      }
    }
    field.frames += frames;
    field.bytes += bytes;
  }
}

tl::expected<ImportSummary, Failure> Import(
    const ImportOptions& options, const std::atomic<bool>& stop,
    const std::function<void(const ImportProgress&)>& progress) {
  if (options.files.empty())
    return Fail(Fault::kUsage, Error{ErrorCode::kInvalidArgument, "name a file to import"});
  return Importer(options, stop, progress).Run();
}

}  // namespace zn::tools
