#include "backup/object_writer.h"

namespace zn::backup {
namespace {

constexpr uint64_t kWritebackStep =
    4 << 20;  // so that little is left to write when a bundle is synced

}  // namespace

ObjectWriter::~ObjectWriter() {
  if (current_) (void)RemoveFile(current_->temporary);
}

bool ObjectWriter::Has(const Sha256& content) const {
  const ObjectId id = repository_.NameOf(content);
  if (index_->Find(id) != nullptr) return true;
  const std::lock_guard lock(mutex_);
  return written_.count(id) != 0;
}

Result<> ObjectWriter::Put(const Sha256& content, std::span<const std::byte> bytes) {
  const ObjectId id = repository_.NameOf(content);
  if (index_->Find(id) != nullptr) return {};
  return Write(id, bytes);
}

Result<> ObjectWriter::PutAgain(const ObjectId& id, std::span<const std::byte> bytes) {
  return Write(id, bytes);
}

Result<std::shared_ptr<ObjectWriter::Open>> ObjectWriter::Current() {
  if (current_) return current_;
  auto bundle = std::make_shared<Open>();
  bundle->id = RandomId::New();
  bundle->temporary = repository_.directory() + "/tmp/" + bundle->id.Hex();
  bundle->cipher.emplace(repository_.master(), bundle->id);
  ZN_ASSIGN_OR_RETURN(bundle->file, File::Open(bundle->temporary, File::kCreateNew));
  ++open_;
  current_ = bundle;
  ZN_RETURN_IF_ERROR(bundle->file.WriteAt(0, EncodeBundleHeader(bundle->id)));
  return bundle;
}

Result<> ObjectWriter::Fail(Result<> result) {
  const std::lock_guard lock(mutex_);
  if (!failure_) failure_ = result.error();
  closed_.notify_all();
  return result;
}

Result<> ObjectWriter::Write(const ObjectId& id, std::span<const std::byte> bytes) {
  std::shared_ptr<Open> bundle;
  uint64_t offset = 0, back_from = 0, back_to = 0;
  size_t size = 0;
  {
    const std::lock_guard lock(mutex_);
    if (failure_) return *failure_;
    if (!written_.insert(id).second) return {};
    auto current = Current();
    if (!current) {
      failure_ = current.error();
      return std::move(current).error();
    }
    bundle = std::move(*current);
    size = bundle->cipher->StoredSize(bytes.size());
    offset = bundle->end;
    bundle->end += size;
    bundle->entries.push_back({id, offset, static_cast<uint32_t>(bytes.size())});
    ++bundle->writers;
    ++stats_.objects;
    stats_.bytes += size;
    if (bundle->end >= bundle_bytes_) {
      bundle->full = true;
      current_.reset();
    } else if (bundle->end - bundle->written_back > kWritebackStep) {
      back_from = bundle->written_back;
      back_to = bundle->written_back = offset;
    }
  }
  const File& file = bundle->file;
  const Result<> written =
      bundle->cipher->sealed()
          ? file.WriteAt(static_cast<int64_t>(offset), bundle->cipher->Seal(id, offset, bytes))
          : file.WriteAt(static_cast<int64_t>(offset), bytes);
  if (!written) return Fail(written);
  if (back_to > back_from)
    file.StartWriteback(static_cast<int64_t>(back_from),
                        static_cast<int64_t>(back_to - back_from));
  {
    const std::lock_guard lock(mutex_);
    if (--bundle->writers > 0 || !bundle->full) return {};
  }
  return Close(*bundle);
}

Result<> ObjectWriter::Close(Open& bundle) {
  const auto close = [&]() -> Result<> {
    const auto end = EncodeBundleEnd(bundle.end, bundle.entries, repository_.master());
    ZN_RETURN_IF_ERROR(bundle.file.WriteAt(static_cast<int64_t>(bundle.end), end));
    ZN_RETURN_IF_ERROR(bundle.file.SyncData());
    const std::string path = repository_.PathOf(bundle.id);
    const std::string folder = path.substr(0, path.rfind('/'));
    ZN_RETURN_IF_ERROR(MakeDirectory(folder));
    ZN_RETURN_IF_ERROR(RenameFile(bundle.temporary, path));
    bundle.file.Close();
    const std::lock_guard lock(mutex_);
    folders_.insert(folder);
    made_.push_back({bundle.id, bundle.end + end.size(), std::move(bundle.entries)});
    --open_;
    closed_.notify_all();
    return {};
  };
  if (auto closed = close(); !closed) return Fail(std::move(closed));
  return {};
}

Result<std::vector<BundleTable>> ObjectWriter::Seal() {
  std::shared_ptr<Open> last;
  {
    std::unique_lock lock(mutex_);
    if (failure_) return *failure_;
    last = std::move(current_);
    current_.reset();
  }
  if (last) ZN_RETURN_IF_ERROR(Close(*last));
  std::unique_lock lock(mutex_);
  closed_.wait(lock, [&] { return open_ == 0 || failure_; });
  if (failure_) return *failure_;
  for (const std::string& folder : folders_) ZN_RETURN_IF_ERROR(SyncDirectory(folder));
  if (!folders_.empty()) ZN_RETURN_IF_ERROR(SyncDirectory(repository_.directory() + "/data"));
  folders_.clear();
  return std::exchange(made_, {});
}

Result<> ObjectWriter::Finish() {
  ZN_ASSIGN_OR_RETURN(const auto made, Seal());
  if (made.empty()) return {};
  ZN_RETURN_IF_ERROR(repository_.WriteIndex(made));
  return {};
}

ObjectWriter::Stats ObjectWriter::stats() const {
  const std::lock_guard lock(mutex_);
  return stats_;
}

}  // namespace zn::backup
