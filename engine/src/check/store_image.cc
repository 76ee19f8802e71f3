#include "check/store_image.h"

#include <algorithm>

#include "base/hash.h"
#include "log/group.h"

namespace zn::check {
namespace {

Result<> AddFile(std::map<uint32_t, FileImage>& files, const std::string& directory,
                 uint32_t number) {
  const std::string name = FileNameOf(number);
  ZN_ASSIGN_OR_RETURN(File file, File::Open(directory + "/" + name, File::kRead));
  ZN_ASSIGN_OR_RETURN(const int64_t size, file.Size());
  const auto bytes = static_cast<uint64_t>(size);
  files.emplace(number, FileImage{number, name, std::move(file), bytes, Marks(bytes)});
  return {};
}

Result<std::vector<std::string>> ListIfThere(const std::string& path) {
  if (!PathExists(path)) return std::vector<std::string>();
  return ListDirectory(path);
}

}  // namespace

std::string FileNameOf(uint32_t number) {
  if (number & RecordRef::kLogBit) return LogFileName(number & ~RecordRef::kLogBit);
  return "packs/" + PackFileName(number, ".pack");
}

std::string_view KindOf(RecordType type) {
  switch (type) {
    case RecordType::kChunk:
      return "chunk";
    case RecordType::kNode:
      return "tree node";
    case RecordType::kRoot:
      return "root";
    case RecordType::kCommit:
      return "commit";
    case RecordType::kRef:
      return "ref";
    case RecordType::kRoomModel:
      return "room model";
    case RecordType::kVersion:
      return "version";
    case RecordType::kCheckpoint:
      return "checkpoint";
    case RecordType::kEpoch:
      return "epoch";
    case RecordType::kState:
      return "control record";
    case RecordType::kLost:
      return "lost record";
  }
  return "record";
}

std::string DescribeRecord(RecordType type, const RecordRef& ref) {
  return std::string(KindOf(type)) + " " + ref.name.Hex().substr(0, 16) + " in " + FileNameOf(ref.file) +
         " at " + std::to_string(ref.offset);
}

Result<std::unique_ptr<StoreImage>> StoreImage::Open(const std::string& directory, bool lock) {
  auto image = std::make_unique<StoreImage>();
  image->directory_ = directory;
  const std::string superblock = directory + "/superblock";
  if (!PathExists(superblock))
    return Error{ErrorCode::kNotFound, directory + " is not a ZnStore (it has no superblock)"};
  ZN_ASSIGN_OR_RETURN(const auto bytes, ReadWholeFile(superblock, 1 << 20));
  auto decoded = DecodeSuperblock(bytes);
  if (!decoded) return std::move(decoded).error().Context(superblock);
  image->superblock_ = *decoded;
  if (const std::string path = directory + "/lock"; lock && PathExists(path)) {
    ZN_ASSIGN_OR_RETURN(image->lock_, File::Open(path, File::kRead));
    if (auto locked = image->lock_.TryLock(true); !locked) {
      if (locked.error().code != ErrorCode::kBusy) return std::move(locked).error();
      return Error{ErrorCode::kBusy, "the store " + directory +
                                         " is in use by a process that writes to it (a zn-server "
                                         "or zn-import); stop it first"};
    }
  }
  ZN_ASSIGN_OR_RETURN(const auto logs, ListIfThere(directory + "/log"));
  for (const std::string& name : logs)
    if (const uint32_t number = ParseLogFileName(name))
      ZN_RETURN_IF_ERROR(AddFile(image->files_, directory, number | RecordRef::kLogBit));
  ZN_ASSIGN_OR_RETURN(const auto packs, ListIfThere(directory + "/packs"));
  for (const std::string& name : packs) {
    if (const uint32_t number = ParsePackFileName(name, ".pack"))
      ZN_RETURN_IF_ERROR(AddFile(image->files_, directory, number));
    if (const uint32_t number = ParsePackFileName(name, ".moved")) {
      ZN_ASSIGN_OR_RETURN(const auto table,
                          ReadWholeFile(directory + "/packs/" + name, int64_t{1} << 32));
      if (auto moves = DecodeMoves(table, image->salt())) {
        image->moved_.emplace(number, std::move(*moves));
      } else {
        image->damaged_tables_.emplace_back("packs/" + name, moves.error().message);
      }
    }
  }
  return image;
}

uint64_t StoreImage::HeadSize(const FileImage& file, uint64_t length) {
  return file.number & RecordRef::kLogBit ? kRecordHeaderSize : PackRecordHeadSize(length);
}

Result<RecordHeader> StoreImage::HeaderAt(const FileImage& file, uint64_t begin) const {
  if (begin % kRecordAlignment != 0 || file.size < kRecordHeaderSize ||
      begin > file.size - kRecordHeaderSize)
    return Error{ErrorCode::kCorrupt, "no record can be there"};
  std::vector<std::byte> head(kRecordHeaderSize);
  ZN_RETURN_IF_ERROR(file.file.ReadAt(static_cast<int64_t>(begin), head));
  ZN_ASSIGN_OR_RETURN(const RecordHeader header, DecodeRecordHeader(head, salt()));
  if (header.length > UINT32_MAX || header.length > file.size) return header;  // the caller's to report
  const uint64_t size = HeadSize(file, header.length);
  if (size == kRecordHeaderSize) return header;
  if (size > file.size - begin) return Error{ErrorCode::kCorrupt, "the file ends within a record's head"};
  head.resize(size);
  ZN_RETURN_IF_ERROR(file.file.ReadAt(static_cast<int64_t>(begin), head));
  ZN_RETURN_IF_ERROR(PackRecordHead::Open(head, header.length, salt()));
  return header;
}

uint64_t StoreImage::LostAt(const FileImage& file, uint64_t begin) const {
  std::byte head[kRecordHeaderSize];
  if (file.number & RecordRef::kLogBit || !file.file.ReadAt(static_cast<int64_t>(begin), head))
    return 0;
  const auto lost = DecodeLostHeader(head, salt());
  if (!lost || lost->length > file.size || PackRecordSize(lost->length) > file.size - begin) return 0;
  return PackRecordSize(lost->length);
}

bool StoreImage::IsLost(const FileImage& file, uint64_t begin, const RecordRef& ref) const {
  std::byte head[kRecordHeaderSize];
  if (!file.file.ReadAt(static_cast<int64_t>(begin), head)) return false;
  const auto lost = DecodeLostHeader(head, salt());
  return lost && lost->name == ref.name && lost->length == ref.length;
}

std::optional<RecordRef> StoreImage::Resolve(RecordRef ref) const {
  // A record moves at most once for each pack there ever was after its first.
  for (size_t hops = 0; hops <= moved_.size(); ++hops) {
    const bool there = files_.count(ref.file) != 0;
    const auto table = moved_.find(ref.file);
    if (table == moved_.end()) return there ? std::optional(ref) : std::nullopt;
    const auto move =
        std::lower_bound(table->second.begin(), table->second.end(), ref.offset,
                         [](const Move& m, uint64_t offset) { return m.old_offset < offset; });
    // A collected pack may still be there, for readers that hold on to what it has besides.
    if (move == table->second.end() || move->old_offset != ref.offset)
      return there ? std::optional(ref) : std::nullopt;
    ref.file = move->file;
    ref.offset = move->offset;
  }
  return std::nullopt;
}

std::optional<RecordFault> StoreImage::CheckPlace(const RecordRef& ref) const {
  const auto now = Resolve(ref);
  if (!now) return RecordFault{RecordFault::kMissing, FileNameOf(ref.file) + " is missing"};
  const FileImage& file = files_.at(now->file);
  if (now->offset > file.size || ref.length > file.size - now->offset)
    return RecordFault{RecordFault::kTruncated,
                       file.name + " ends before it, at " + std::to_string(file.size)};
  const uint64_t head = HeadSize(file, ref.length);
  if (now->offset < head) return RecordFault{RecordFault::kMissing, "no record can be there"};
  auto header = HeaderAt(file, now->offset - head);
  if (!header && IsLost(file, now->offset - head, ref))
    return RecordFault{RecordFault::kLost, header.error().message};
  if (!header) {
    const bool io = header.error().code == ErrorCode::kIo;
    return RecordFault{io ? RecordFault::kUnreadable : RecordFault::kMissing,
                       header.error().message};
  }
  if (header->name != ref.name)
    return RecordFault{RecordFault::kMissing, "another record is there"};
  if (header->length != ref.length)
    return RecordFault{RecordFault::kTruncated, "it has " + std::to_string(header->length) +
                                                    " bytes, not " + std::to_string(ref.length)};
  return std::nullopt;
}

std::optional<RecordFault> StoreImage::ReadChecked(const RecordRef& ref,
                                                   std::vector<std::byte>* payload) const {
  if (auto fault = CheckPlace(ref)) return fault;
  const RecordRef now = *Resolve(ref);
  payload->resize(ref.length);
  if (auto read = files_.at(now.file).file.ReadAt(static_cast<int64_t>(now.offset), *payload);
      !read)
    return RecordFault{RecordFault::kUnreadable, read.error().message};
  if (HashSha256(*payload) != ref.name)
    return RecordFault{RecordFault::kHash, "its bytes are not those its name stands for"};
  return std::nullopt;
}

Result<Buffer> StoreImage::ReadNode(const RecordRef& ref) const {
  std::vector<std::byte> payload;
  if (const auto fault = ReadChecked(ref, &payload))
    return Error{ErrorCode::kCorrupt, "record " + ref.name.Hex().substr(0, 16) + " in " +
                                          FileNameOf(ref.file) + " at " +
                                          std::to_string(ref.offset) + ": " + fault->what};
  // RunTree reads nodes in place as u64: a vector's storage is aligned for that.
  return Buffer::Own(std::move(payload));
}

bool StoreImage::Reach(const RecordRef& ref) {
  const auto now = Resolve(ref);
  return now && files_.at(now->file).reached.Mark(now->offset);
}

}  // namespace zn::check
