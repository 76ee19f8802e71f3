#include "log/log_maps.h"

#include <algorithm>

namespace zn {
namespace {

constexpr uint64_t kBytesInWord = 64 * kRecordAlignment;        // one bit a possible record
constexpr uint64_t kWordsInPage = 512;                          // 4 KiB of bits
constexpr uint64_t kBytesInPage = kWordsInPage * kBytesInWord;  // 2 MiB of the file

}  // namespace

struct LogMaps::View {
  using Page = std::array<std::atomic<uint64_t>, kWordsInPage>;

  explicit View(std::shared_ptr<const Mapping> mapping)
      : map(std::move(mapping)), pages((map->size() + kBytesInPage - 1) / kBytesInPage) {}
  ~View() {
    for (auto& page : pages) delete page.load(std::memory_order_relaxed);
  }
  bool Checked(uint64_t offset) const {
    const Page* page = pages[offset / kBytesInPage].load(std::memory_order_acquire);
    if (page == nullptr) return false;
    uint64_t word = (*page)[offset / kBytesInWord % kWordsInPage].load(std::memory_order_acquire);
    return word >> (offset / kRecordAlignment % 64) & 1;
  }
  void SetChecked(uint64_t offset) const {
    auto& slot = pages[offset / kBytesInPage];
    Page* page = slot.load(std::memory_order_acquire);
    if (page == nullptr) {
      auto fresh = std::make_unique<Page>();
      if (slot.compare_exchange_strong(page, fresh.get(), std::memory_order_acq_rel)) {
        page = fresh.release();
      }
    }
    (*page)[offset / kBytesInWord % kWordsInPage].fetch_or(
        uint64_t{1} << (offset / kRecordAlignment % 64), std::memory_order_release);
  }

  void Uncheck() const {
    for (auto& slot : pages)
      if (Page* page = slot.load(std::memory_order_acquire))
        for (auto& word : *page) word.store(0, std::memory_order_release);
  }

  const std::shared_ptr<const Mapping> map;
  mutable std::vector<std::atomic<Page*>> pages;  // of bits, made when first needed
};

LogMaps::LogMaps(std::shared_ptr<FileSystem> files, std::string directory, uint32_t salt,
                 int64_t reserve)
    : files_(std::move(files)),
      directory_(std::move(directory)),
      salt_(salt),
      reserve_(static_cast<uint64_t>(std::max<int64_t>(reserve, 0))) {}

LogMaps::~LogMaps() {
  for (auto& block : blocks_) delete block.load(std::memory_order_relaxed);
}

Result<LogMaps::Entry*> LogMaps::FindOrAdd(uint32_t file) const {
  if (file / kEntriesInBlock >= kBlocks) {
    return Error{ErrorCode::kUnsupported, LogFileName(file) + ": too many log files"};
  }
  auto& slot = blocks_[file / kEntriesInBlock];
  Block* block = slot.load(std::memory_order_acquire);
  if (block == nullptr) {
    auto fresh = std::make_unique<Block>();
    if (slot.compare_exchange_strong(block, fresh.get(), std::memory_order_acq_rel)) {
      block = fresh.release();
    }
  }
  return &(*block)[file % kEntriesInBlock];
}

Result<LogMaps::View*> LogMaps::MapAtLeast(Entry& entry, uint32_t file, uint64_t size,
                                           uint64_t reserve) const {
  View* view = entry.view.load(std::memory_order_acquire);
  if (view != nullptr && view->map->size() >= size) return view;
  ZN_ASSIGN_OR_RETURN(File opened, files_->OpenForReading(PathOf(file)));
  uint64_t want = std::max(size, reserve);
  // Twice as much each time, so that few maps of a file that keeps growing are kept.
  if (view != nullptr) want = std::max<uint64_t>(want, 2 * view->map->size());
  ZN_ASSIGN_OR_RETURN(auto map, Mapping::Map(opened, static_cast<int64_t>(want)));
  views_.push_back(std::make_unique<View>(std::move(map)));
  entry.view.store(views_.back().get(), std::memory_order_release);
  return views_.back().get();
}

Result<> LogMaps::Extend(LogPosition end) {
  if (end.file == 0) return {};
  std::lock_guard lock(mutex_);
  ZN_ASSIGN_OR_RETURN(Entry * entry, FindOrAdd(end.file));
  ZN_RETURN_IF_ERROR(MapAtLeast(*entry, end.file, end.offset, reserve_));
  if (entry->readable.load(std::memory_order_relaxed) < end.offset) {
    entry->readable.store(end.offset, std::memory_order_release);
  }
  if (newest_.load(std::memory_order_relaxed) < end.file) {
    newest_.store(end.file, std::memory_order_release);
  }
  return {};
}

void LogMaps::Forget(uint32_t file) const {
  std::lock_guard lock(mutex_);
  Entry* entry = Find(file);
  if (entry == nullptr) return;
  entry->readable.store(0, std::memory_order_release);
  entry->view.store(nullptr, std::memory_order_release);
}

void LogMaps::Uncheck(uint32_t file) const {
  const Entry* entry = Find(file);
  if (entry == nullptr) return;
  if (const View* view = entry->view.load(std::memory_order_acquire)) view->Uncheck();
}

Result<> LogMaps::OpenSealed(uint32_t file) const {
  std::lock_guard lock(mutex_);
  ZN_ASSIGN_OR_RETURN(Entry * entry, FindOrAdd(file));
  ZN_ASSIGN_OR_RETURN(File opened, files_->OpenForReading(PathOf(file)));
  ZN_ASSIGN_OR_RETURN(int64_t size, opened.Size());
  ZN_RETURN_IF_ERROR(MapAtLeast(*entry, file, static_cast<uint64_t>(size), 0));
  entry->readable.store(static_cast<uint64_t>(size), std::memory_order_release);
  return {};
}

Result<std::span<const std::byte>> LogMaps::WholeFile(uint32_t file) const {
  std::lock_guard lock(mutex_);
  ZN_ASSIGN_OR_RETURN(Entry * entry, FindOrAdd(file));
  ZN_ASSIGN_OR_RETURN(File opened, files_->OpenForReading(PathOf(file)));
  ZN_ASSIGN_OR_RETURN(int64_t size, opened.Size());
  ZN_ASSIGN_OR_RETURN(View * view, MapAtLeast(*entry, file, static_cast<uint64_t>(size), reserve_));
  return std::span(view->map->data(), static_cast<size_t>(size));
}

Result<std::span<const std::byte>> LogMaps::Read(const RecordRef& ref) const {
  const uint32_t file = ref.file & ~RecordRef::kLogBit;
  const Entry* entry = Find(file);
  uint64_t readable = entry == nullptr ? 0 : entry->readable.load(std::memory_order_acquire);
  if (ref.offset > readable || ref.length > readable - ref.offset) {
    if (!ref.in_log() || file == 0 || file > newest_.load(std::memory_order_acquire)) {
      return Error{ErrorCode::kNotFound, LogFileName(file) + ": not a durable part of the log"};
    }
    if (readable == 0) {
      // An earlier file, used for the first time.
      auto opened = OpenSealed(file);
      if (!opened) return std::move(opened).error();
      entry = Find(file);
      readable = entry->readable.load(std::memory_order_acquire);
    }
    if (ref.offset > readable || ref.length > readable - ref.offset) {
      return Error{ErrorCode::kNotFound, LogFileName(file) + " at offset " +
                                             std::to_string(ref.offset) +
                                             ": beyond the end of the log"};
    }
  }
  if (!ref.in_log() || ref.offset % kRecordAlignment != 0 ||
      ref.offset < kGroupHeaderSize + kRecordHeaderSize) {
    return Error{ErrorCode::kCorrupt, "a reference to offset " + std::to_string(ref.offset) +
                                          " of " + LogFileName(file) + ", where no record can be"};
  }
  // Loaded after `readable`, so at least that much is mapped.
  const View& view = *entry->view.load(std::memory_order_acquire);
  if (!view.Checked(ref.offset - kRecordHeaderSize)) ZN_RETURN_IF_ERROR(Check(view, ref));
  return std::span(view.map->data() + ref.offset, ref.length);
}

Result<> LogMaps::Check(const View& view, const RecordRef& ref) const {
  auto corrupt = [&](const std::string& what) {
    return Error{ErrorCode::kCorrupt, LogFileName(ref.file & ~RecordRef::kLogBit) + " at offset " +
                                          std::to_string(ref.offset) + ": " + what};
  };
  const std::byte* data = view.map->data() + ref.offset;
  auto header = DecodeRecordHeader({data - kRecordHeaderSize, kRecordHeaderSize}, salt_);
  if (!header) return corrupt(header.error().message);
  if (header->length != ref.length || header->name != ref.name) {
    return corrupt("another record than the one referred to");
  }
  if (Crc32c({data, ref.length}, salt_) != header->payload_crc) {
    return corrupt("wrong checksum of a record");
  }
  view.SetChecked(ref.offset - kRecordHeaderSize);
  return {};
}

}  // namespace zn
