// Zarr: the view's documents and chunks as a directory, a zip or a list of references. Chunks that
// the grid and the store have alike are the stored bytes; the view assembles the others.
#include <fcntl.h>
#include <zlib.h>

#include <algorithm>
#include <filesystem>
#include <future>
#include <map>
#include <optional>
#include <thread>

#include "export_source.h"
#include "output.h"
#include "zn/engine/codec.h"
#include "zn/engine/zarr_view.h"
#include "zn/formats/fields.h"
#include "zn/formats/text_writer.h"
#include "zn/formats/zip.h"

namespace zn::tools {
namespace {

std::vector<std::string> AliasesOf(std::string_view field) {
  const formats::CanonicalField* canonical = formats::FindCanonical(field);
  if (canonical == nullptr) return {};
  return {canonical->aliases.begin(), canonical->aliases.end()};
}

Result<std::shared_ptr<const ZarrView>> MakeView(const ExportJob& job, bool sharded) {
  ZarrViewOptions options;
  options.sharded = sharded;
  options.aliases = AliasesOf;
  if (!job.source.whole()) options.attributes = "{\"selection\":" + job.source.identity() + "}";
  return ZarrView::Create(job.source.snapshot(), options);
}

// "arrays.positions/.zarray" is v2's, ".../zarr.json" v3's.
bool Wanted(const std::string& key, const std::string& zarr) {
  const std::string_view name = std::string_view(key).substr(key.rfind('/') + 1);
  return zarr.find(name == "zarr.json" ? '3' : '2') != std::string::npos;
}

// The group's own documents: written last, so that nobody takes a part for the whole.
bool IsRoot(const std::string& key) { return key.find('/') == std::string::npos; }

/// A chunk (or shard) with its bytes at hand.
struct Chunk {
  std::string key;
  ZarrChunkPlace place;  // kAssembled for shards
  std::vector<Buffer> pieces;
};

/// All chunks of a view, one after the other; those that have to be assembled are made ahead on
/// several threads.
class Chunks {
 public:
  Chunks(const ExportJob& job, const ZarrView& view, bool sharded)
      : view_(view), sharded_(sharded) {
    const int threads = job.options.threads;
    ahead_ = threads > 0 ? static_cast<size_t>(threads)
                         : std::max(1u, std::thread::hardware_concurrency());
    for (const ZarrArray& array : view.arrays())
      total_ += std::max<int64_t>(ZarrView::GridOf(array).Elements(), 0);
  }
  int64_t total() const { return total_; }

  /// visit(chunk) for every one that is there, and step() for every one of the grid. With `read`
  /// false stored chunks come without their bytes.
  template <class Visit, class Step>
  Result<> ForEach(bool read, Visit&& visit, Step&& step) {
    std::vector<std::future<Result<Chunk>>> making;
    auto drain = [&](size_t leave) -> Result<> {
      while (making.size() > leave) {
        auto chunk = making.front().get();
        making.erase(making.begin());
        if (!chunk) return std::move(chunk).error();
        if (chunk->place.kind != ZarrChunkPlace::Kind::kMissing) ZN_RETURN_IF_ERROR(visit(*chunk));
        ZN_RETURN_IF_ERROR(step());
      }
      return {};
    };
    for (const ZarrArray& array : view_.arrays()) {
      const Shape grid = ZarrView::GridOf(array);
      if (grid.Elements() <= 0) continue;
      std::vector<int64_t> at(grid.rank(), 0);
      for (bool more = true; more; more = Advance(grid, &at)) {
        ZarrChunkPlace place;
        place.kind = ZarrChunkPlace::Kind::kAssembled;
        if (!sharded_) {
          ZN_ASSIGN_OR_RETURN(place, view_.Locate(array, at));
        }
        const bool work = place.kind == ZarrChunkPlace::Kind::kAssembled;
        making.push_back(
            std::async(work ? std::launch::async : std::launch::deferred,
                       [this, &array, at, place, read] { return Make(array, at, place, read); }));
        ZN_RETURN_IF_ERROR(drain(work ? ahead_ : ahead_ * 4));
      }
    }
    return drain(0);
  }

 private:
  // The last axis first, as the bytes of an array lie.
  static bool Advance(const Shape& grid, std::vector<int64_t>* at) {
    for (size_t axis = grid.rank(); axis-- > 0;) {
      if (++(*at)[axis] < grid[axis]) return true;
      (*at)[axis] = 0;
    }
    return false;
  }

  Result<Chunk> Make(const ZarrArray& array, const std::vector<int64_t>& at,
                     const ZarrChunkPlace& place, bool read) const {
    Chunk chunk;
    chunk.key = array.name + "/" + ZarrChunkKey(array.metadata, at);
    chunk.place = place;
    if (place.kind == ZarrChunkPlace::Kind::kMissing) return chunk;
    if (sharded_) {
      ZN_ASSIGN_OR_RETURN(auto shard, view_.OpenShard(array, at));
      if (shard == nullptr) {
        chunk.place.kind = ZarrChunkPlace::Kind::kMissing;
        return chunk;
      }
      ZN_ASSIGN_OR_RETURN(const uint64_t got,
                          shard->Read(0, shard->size(), UINT64_MAX, &chunk.pieces));
      if (got != shard->size())
        return Error{ErrorCode::kInternal, chunk.key + ": a shard of another size than it says"};
      return chunk;
    }
    if (place.kind == ZarrChunkPlace::Kind::kStored && !read) return chunk;
    ZN_ASSIGN_OR_RETURN(auto value, view_.ReadChunk(array, at));
    if (!value) {
      chunk.place.kind = ZarrChunkPlace::Kind::kMissing;
      return chunk;
    }
    chunk.pieces.push_back(std::move(value->bytes));
    return chunk;
  }

  const ZarrView& view_;
  const bool sharded_;
  size_t ahead_ = 1;
  int64_t total_ = 0;
};

/// The store's files that stored chunks lie in, opened once each.
class StoredFiles {
 public:
  explicit StoredFiles(std::string directory) : directory_(std::move(directory)) {}

  /// nullopt for what has to be written: chunks that were assembled, or that were moved meanwhile.
  std::optional<FileRange> Find(const Chunk& chunk) {
    if (chunk.place.kind != ZarrChunkPlace::Kind::kStored || chunk.pieces.size() != 1 ||
        chunk.pieces[0].size() != chunk.place.length)
      return std::nullopt;
    auto known = files_.find(chunk.place.file);
    if (known == files_.end()) {
      const std::string path = directory_ + "/" + chunk.place.file;
      known = files_
                  .emplace(chunk.place.file,
                           Descriptor(::open(path.c_str(), O_RDONLY | O_NOFOLLOW | O_CLOEXEC)))
                  .first;
    }
    if (!known->second) return std::nullopt;
    return FileRange{known->second.get(), static_cast<int64_t>(chunk.place.offset)};
  }

 private:
  const std::string directory_;
  std::map<std::string, Descriptor> files_;
};

int64_t SizeOf(const Chunk& chunk) {
  int64_t size = 0;
  for (const Buffer& piece : chunk.pieces) size += static_cast<int64_t>(piece.size());
  return size;
}

void Count(const Chunk& chunk, ExportSummary* summary) {
  if (chunk.place.kind == ZarrChunkPlace::Kind::kStored)
    ++summary->chunks_copied;
  else
    ++summary->chunks_encoded;
}

// Progress over the chunks of a grid.
class Stepper {
 public:
  Stepper(const ExportJob& job, int64_t total) : job_(job), total_(std::max<int64_t>(total, 1)) {}
  Result<> operator()() {
    ++done_;
    const double fraction = static_cast<double>(done_) / static_cast<double>(total_);
    return job_.Step(job_.options.out, fraction,
                     static_cast<int64_t>(fraction * static_cast<double>(job_.source.frames())),
                     job_.summary.bytes);
  }

 private:
  const ExportJob& job_;
  const int64_t total_;
  int64_t done_ = 0;
};

/// Whether a field has chunks in the codec that is not Zarr's: they leave a store encoded anew.
bool HasRounded(const Snapshot& snapshot) {
  for (const FieldDescriptor& field : snapshot.fields())
    for (const Geometry& geometry : field.geometries)
      if (geometry.codecs == RoundedCodecs()) return true;
  return false;
}

std::string_view View(const Buffer& buffer) {
  return {reinterpret_cast<const char*>(buffer.data()), buffer.size()};
}

std::string Base64(std::string_view bytes) {
  constexpr char kDigits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  std::string out;
  out.reserve((bytes.size() + 2) / 3 * 4);
  for (size_t i = 0; i < bytes.size(); i += 3) {
    uint32_t group = 0;
    for (size_t k = 0; k < 3; ++k)
      group = group << 8 | (i + k < bytes.size() ? static_cast<unsigned char>(bytes[i + k]) : 0u);
    for (size_t k = 0; k < 4; ++k)
      out += i + k <= bytes.size() ? kDigits[group >> (18 - 6 * k) & 63] : '=';
  }
  return out;
}

// A path as the path of a file: URL.
std::string FileUrl(const std::string& path) {
  constexpr char kHex[] = "0123456789ABCDEF";
  std::string url = "file://";
  for (const char c : path) {
    const auto byte = static_cast<unsigned char>(c);
    if (byte > 32 && byte < 127 && c != '%' && c != '#' && c != '?') {
      url += c;
    } else {
      url += {'%', kHex[byte >> 4], kHex[byte & 15]};
    }
  }
  return url;
}

}  // namespace

Result<> ExportZarr(const ExportJob& job) {
  const bool sharded = job.options.format == "zarr-sharded";
  const std::string zarr = job.options.zarr.empty() ? "3" : job.options.zarr;
  ZN_ASSIGN_OR_RETURN(auto view, MakeView(job, sharded));
  const std::string identity = "{\"format\":\"" + job.options.format + "\",\"zarr\":\"" + zarr +
                               "\",\"source\":" + job.source.identity() + "}\n";
  ZN_ASSIGN_OR_RETURN(auto directory,
                      OutputDirectory::Open(job.options.out, identity, job.options.force));
  ExportSummary& summary = job.summary;
  auto count = [&](bool written, int64_t bytes) {
    ++(written ? summary.files : summary.files_kept);
    summary.bytes += bytes;
  };
  Chunks chunks(job, *view, sharded);
  StoredFiles stored(job.source.store_directory());
  ZN_RETURN_IF_ERROR(chunks.ForEach(
      true,
      [&](const Chunk& chunk) -> Result<> {
        ZN_ASSIGN_OR_RETURN(const bool written,
                            directory->Put(chunk.key, chunk.pieces, stored.Find(chunk)));
        count(written, SizeOf(chunk));
        Count(chunk, &summary);
        return {};
      },
      Stepper(job, chunks.total())));
  for (const bool root : {false, true}) {
    ZN_RETURN_IF_ERROR(directory->Flush());
    for (const auto& [key, text] : view->documents()) {
      if (IsRoot(key) != root || !Wanted(key, zarr)) continue;
      ZN_ASSIGN_OR_RETURN(const bool written, directory->Put(key, text));
      count(written, static_cast<int64_t>(text.size()));
    }
  }
  ZN_RETURN_IF_ERROR(job.Syncing(job.options.out));
  return directory->Flush();
}

Result<> ExportZarrZip(const ExportJob& job) {
  const std::string zarr = job.options.zarr.empty() ? "2" : job.options.zarr;
  ZN_ASSIGN_OR_RETURN(auto view, MakeView(job, false));
  ZN_ASSIGN_OR_RETURN(auto file, OutputFile::Create(job.options.out, job.options.force));
  std::vector<formats::ZipMember> members;
  auto add = [&](const std::string& key, std::span<const Buffer> pieces) -> Result<> {
    formats::ZipMember member;
    member.name = key;
    member.offset = static_cast<uint64_t>(file->size());
    uLong crc = 0;
    for (const Buffer& piece : pieces) {
      member.size += piece.size();
      crc = crc32_z(crc, reinterpret_cast<const Bytef*>(piece.data()), piece.size());
    }
    member.crc = static_cast<uint32_t>(crc);
    ZN_RETURN_IF_ERROR(file->Append(formats::ZipLocalHeader(member)));
    for (const Buffer& piece : pieces) ZN_RETURN_IF_ERROR(file->Append(View(piece)));
    job.summary.bytes = file->size();
    members.push_back(std::move(member));
    return {};
  };
  for (const auto& [key, text] : view->documents()) {
    if (!Wanted(key, zarr)) continue;
    const Buffer piece(nullptr, std::as_bytes(std::span(text)));
    ZN_RETURN_IF_ERROR(add(key, std::span(&piece, 1)));
  }
  Chunks chunks(job, *view, false);
  ZN_RETURN_IF_ERROR(chunks.ForEach(
      true,
      [&](const Chunk& chunk) -> Result<> {
        Count(chunk, &job.summary);
        return add(chunk.key, chunk.pieces);
      },
      Stepper(job, chunks.total())));
  ZN_RETURN_IF_ERROR(
      file->Append(formats::ZipCentralDirectory(members, static_cast<uint64_t>(file->size()))));
  job.summary.bytes = file->size();
  job.summary.files = 1;
  ZN_RETURN_IF_ERROR(job.Syncing(job.options.out));
  return file->Finish();
}

// Version 1 of fsspec's references (fsspec.github.io/kerchunk/spec.html): texts and base64 in
// place, [url, offset, length] for what lies in the store's files.
Result<> ExportKerchunk(const ExportJob& job) {
  const std::string zarr = job.options.zarr.empty() ? "2" : job.options.zarr;
  ZN_ASSIGN_OR_RETURN(auto view, MakeView(job, false));
  ZN_ASSIGN_OR_RETURN(auto file, OutputFile::Create(job.options.out, job.options.force));
  std::error_code error;
  const std::filesystem::path store =
      std::filesystem::canonical(job.source.store_directory(), error);
  if (error) return Error{ErrorCode::kIo, job.source.store_directory() + ": " + error.message()};

  std::string text = "{\"version\":1,\"refs\":{";
  bool first = true;
  auto key = [&](const std::string& name) {
    text += first ? "\n" : ",\n";
    first = false;
    formats::AppendJsonString(name, text);
    text += ':';
  };
  for (const auto& [name, document] : view->documents()) {
    if (!Wanted(name, zarr)) continue;
    key(name);
    formats::AppendJsonString(document, text);
  }
  int64_t inlined = 0;
  Chunks chunks(job, *view, false);
  ZN_RETURN_IF_ERROR(chunks.ForEach(
      false,
      [&](const Chunk& chunk) -> Result<> {
        key(chunk.key);
        Count(chunk, &job.summary);
        if (chunk.place.kind == ZarrChunkPlace::Kind::kStored) {
          text += '[';
          formats::AppendJsonString(FileUrl((store / chunk.place.file).string()), text);
          text += ',' + std::to_string(chunk.place.offset) + ',' +
                  std::to_string(chunk.place.length) + ']';
        } else {
          std::string bytes;
          for (const Buffer& piece : chunk.pieces) bytes += View(piece);
          inlined += static_cast<int64_t>(bytes.size());
          text += "\"base64:" + Base64(bytes) + '"';
        }
        if (text.size() < (1 << 20)) return {};
        ZN_RETURN_IF_ERROR(file->Append(text));
        text.clear();
        job.summary.bytes = file->size();
        return {};
      },
      Stepper(job, chunks.total())));
  text += "\n}}\n";
  ZN_RETURN_IF_ERROR(file->Append(text));
  job.summary.bytes = file->size();
  job.summary.files = 1;
  if (inlined > 0) {
    job.summary.warnings.push_back(
        std::to_string(job.summary.chunks_encoded) + " chunks (" +
        HumanBytes(static_cast<double>(inlined)) +
        ") are not stored as the grid has them and were put into the file" +
        (HasRounded(job.source.snapshot()) ? "; those of rounded values could be referred to in a "
                                             "room imported with --codec default"
                                           : ""));
  }
  ZN_RETURN_IF_ERROR(job.Syncing(job.options.out));
  return file->Finish();
}

}  // namespace zn::tools
