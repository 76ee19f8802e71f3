// Dataset's ways of reading rows.
#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <cstring>

#include "h5md/h5_dataset.h"

namespace zn::formats::h5 {
namespace {

using Coordinates = std::vector<unsigned long long>;

// Below this a read is cheaper than a mapping and its page faults.
constexpr size_t kMapAtLeast = 64 << 10;
// Deflate does at most 1032 : 1, lzf less.
constexpr size_t kMaxInflation = 1100;

// Ends of runs of consecutive rows: body(first row, count, index of the first).
template <class Body>
Result<> ForRuns(std::span<const int64_t> rows, Body body) {
  for (size_t i = 0; i < rows.size();) {
    size_t end = i + 1;
    while (end < rows.size() && rows[end] == rows[end - 1] + 1) ++end;
    ZN_RETURN_IF_ERROR(body(rows[i], static_cast<int64_t>(end - i), i));
    i = end;
  }
  return {};
}

Result<Buffer> MapRange(int descriptor, int64_t offset, size_t size) {
  static const int64_t page = sysconf(_SC_PAGESIZE);
  int64_t start = offset / page * page;
  size_t length = size + static_cast<size_t>(offset - start);
  // Asks for the whole range at once: populating alone would wait for one read-ahead window after
  // the other.
  posix_fadvise(descriptor, start, static_cast<off_t>(length), POSIX_FADV_WILLNEED);
  void* address = mmap(nullptr, length, PROT_READ, MAP_SHARED | MAP_POPULATE, descriptor, start);
  if (address == MAP_FAILED) return Error{ErrorCode::kIo, std::strerror(errno)};
  std::shared_ptr<const void> owner(
      address, [length](const void* p) { munmap(const_cast<void*>(p), length); });
  return Buffer(owner, {static_cast<const std::byte*>(address) + (offset - start), size});
}

Result<> ReadAt(int descriptor, int64_t offset, std::byte* out, size_t size) {
  while (size > 0) {
    ssize_t got = pread(descriptor, out, size, offset);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return Error{ErrorCode::kIo, std::strerror(errno)};
    if (got == 0) return Error{ErrorCode::kCorrupt, "the file ends before"};
    out += got;
    offset += got;
    size -= static_cast<size_t>(got);
  }
  return {};
}

// A budget for the texts of one read: libhdf5 allocates what the file claims.
struct TextBudget {
  int64_t left;
};

void* AllocateText(size_t size, void* info) {
  auto* budget = static_cast<TextBudget*>(info);
  if (static_cast<int64_t>(size) > budget->left || size > static_cast<size_t>(INT64_MAX))
    return nullptr;
  budget->left -= static_cast<int64_t>(size);
  return std::malloc(size);
}

void FreeText(void* memory, void*) { std::free(memory); }

}  // namespace

Result<Buffer> Dataset::ReadRows(std::span<const int64_t> rows) const {
  size_t bytes = rows.size() * static_cast<size_t>(row_bytes_);
  if (way_ == Way::kContiguous && swap_ == 0 && bytes >= kMapAtLeast && Consecutive(rows)) {
    int64_t offset = offset_ + rows[0] * row_bytes_;
    size_t alignment = std::min<size_t>(ItemSize(dtype_), 8);
    if (offset % static_cast<int64_t>(alignment) == 0) {
      auto mapped = MapRange(file_->descriptor(), offset, bytes);
      // An address space that is limited may have no room for a mapping where the heap still has.
      if (mapped) return mapped;
    }
  }
  auto block = Block::Allocate(static_cast<int64_t>(rows.size()), row_bytes_);
  if (!block)
    return file_->Fail(block.error().code, path(), block.error().message,
                       "read fewer frames at once");
  ZN_RETURN_IF_ERROR(ReadRows(rows, block->data()));
  return std::move(*block).Take(bytes);
}

Result<> Dataset::ReadRows(std::span<const int64_t> rows, std::byte* out) const {
  if (row_bytes_ == 0) return {};
  switch (way_) {
    case Way::kFill:
      for (size_t i = 0; i < rows.size() * static_cast<size_t>(row_elements_); ++i) {
        if (fill_) {
          std::memcpy(out + i * fill_->size(), fill_->data(), fill_->size());
        } else {
          std::memset(out + i * ItemSize(dtype_), 0, ItemSize(dtype_));
        }
      }
      return {};
    case Way::kHeap:
      for (size_t i = 0; i < rows.size(); ++i)
        std::memcpy(out + i * row_bytes_, heap_.data() + rows[i] * row_bytes_,
                    static_cast<size_t>(row_bytes_));
      return {};
    case Way::kContiguous:
      return ReadMapped(rows, out);
    case Way::kChunks:
      return ReadChunks(rows, out);
    case Way::kLibrary:
      return ReadThroughLibrary(rows, out);
  }
  return {};
}

Result<> Dataset::ReadMapped(std::span<const int64_t> rows, std::byte* out) const {
  ZN_RETURN_IF_ERROR(ForRuns(rows, [&](int64_t first, int64_t count, size_t at) -> Result<> {
    auto read = ReadAt(file_->descriptor(), offset_ + first * row_bytes_, out + at * row_bytes_,
                       static_cast<size_t>(count * row_bytes_));
    if (read) return {};
    return Fail(read.error().code,
                "row " + std::to_string(first) + " cannot be read: " + read.error().message,
                "copy the file again from its source");
  }));
  Finish(out, rows.size() * static_cast<size_t>(row_bytes_));
  return {};
}

Result<> Dataset::ReadThroughLibrary(std::span<const int64_t> rows, std::byte* out) const {
  return ForRuns(rows, [&](int64_t first, int64_t count, size_t at) -> Result<> {
    Lock lock;
    hsize_t start[H5S_MAX_RANK] = {}, extent[H5S_MAX_RANK] = {};
    Handle memory, selection;
    if (shape_.empty()) {
      memory = Handle(H5Screate(H5S_SCALAR), H5Sclose);
      selection = Handle(H5Scopy(space_.get()), H5Sclose);
    } else {
      for (size_t i = 0; i < shape_.size(); ++i) extent[i] = static_cast<hsize_t>(shape_[i]);
      start[0] = static_cast<hsize_t>(first);
      extent[0] = static_cast<hsize_t>(count);
      memory = Handle(H5Screate_simple(static_cast<int>(shape_.size()), extent, nullptr), H5Sclose);
      selection = Handle(H5Scopy(space_.get()), H5Sclose);
      H5Sselect_hyperslab(selection.get(), H5S_SELECT_SET, start, nullptr, extent, nullptr);
    }
    std::byte* target = out + at * row_bytes_;
    if (H5Dread(Id(object_), memory_type_.get(), memory.get(), selection.get(), H5P_DEFAULT,
                target) < 0) {
      return Fail(ErrorCode::kCorrupt,
                  "rows " + std::to_string(first) + " to " + std::to_string(first + count - 1) +
                      " cannot be read",
                  "copy the file again from its source", true);
    }
    if (!through_library_) Finish(target, static_cast<size_t>(count * row_bytes_));
    return {};
  });
}

Result<> Dataset::ReadChunk(std::span<const unsigned long long> origin,
                            std::span<std::byte> out) const {
  hsize_t offset[H5S_MAX_RANK] = {};
  std::copy(origin.begin(), origin.end(), offset);
  auto fail = [&](const std::string& what, bool library) {
    return Fail(ErrorCode::kCorrupt,
                "the chunk at row " + std::to_string(origin.empty() ? 0 : origin[0]) + " " + what,
                "copy the file again from its source", library);
  };
  std::shared_ptr<std::byte[]> packed;
  hsize_t stored = 0;
  uint32_t mask = 0;
  {
    Lock lock;
    if (H5Dget_chunk_storage_size(Id(object_), offset, &stored) < 0) {
      // libhdf5 1.10 calls a chunk that was never written an error; later versions give 0 bytes.
      std::string message = LastMessage();
      if (message.find("not allocated") == std::string::npos)
        return fail("cannot be found: " + message, false);
      stored = 0;
    }
    if (stored > 0) {
      if (stored > static_cast<hsize_t>(file_->size()))
        return fail("claims more bytes than the file has", false);
      if (filters_.empty() && stored != out.size())
        return fail("has another size than its shape", false);
      if (!filters_.empty() && out.size() / kMaxInflation > stored) {
        return fail("claims to hold more than its bytes can", false);
      }
      std::byte* target = out.data();
      if (!filters_.empty()) {
        packed.reset(new (std::nothrow) std::byte[stored]);
        if (!packed) return fail("is too large for the memory there is", false);
        target = packed.get();
      }
      if (H5Dread_chunk(Id(object_), H5P_DEFAULT, offset, &mask, target) < 0)
        return fail("cannot be read", true);
    }
  }
  if (stored == 0) {  // never written
    size_t item = ItemSize(dtype_);
    for (size_t i = 0; i < out.size(); i += item) {
      if (fill_) {
        std::memcpy(out.data() + i, fill_->data(), item);
      } else {
        std::memset(out.data() + i, 0, item);
      }
    }
    return {};
  }
  if (packed) {
    auto undone = Undo(filters_, mask, {packed.get(), static_cast<size_t>(stored)}, out);
    if (!undone) return fail(undone.error().message, false);
  }
  Finish(out.data(), out.size());
  return {};
}

Result<std::shared_ptr<const std::vector<std::byte>>> Dataset::CachedChunk(
    std::span<const unsigned long long> origin) const {
  Coordinates key(origin.begin(), origin.end());
  {
    std::lock_guard lock(cache_mutex_);
    auto found = cached_.find(key);
    if (found != cached_.end()) {
      cache_.splice(cache_.end(), cache_, found->second);
      return found->second->bytes;
    }
  }
  // Two threads may decode one chunk at the same time; neither waits for the other.
  auto bytes = std::make_shared<std::vector<std::byte>>(static_cast<size_t>(chunk_bytes_));
  ZN_RETURN_IF_ERROR(ReadChunk(origin, *bytes));
  std::lock_guard lock(cache_mutex_);
  if (!cached_.contains(key)) {
    cached_[key] = cache_.insert(cache_.end(), {key, bytes});
    cache_bytes_ += bytes->size();
  }
  while (cache_bytes_ > cache_limit_ && cache_.size() > 1) {
    cache_bytes_ -= cache_.front().bytes->size();
    cached_.erase(cache_.front().origin);
    cache_.pop_front();
  }
  return std::shared_ptr<const std::vector<std::byte>>(std::move(bytes));
}

Result<> Dataset::ReadChunks(std::span<const int64_t> rows, std::byte* out) const {
  const size_t rank = shape_.size();
  const size_t item = ItemSize(dtype_);
  // Axes behind `axis` are whole in every chunk, so a chunk's part of them is one run of bytes.
  size_t axis = rank - 1;
  int64_t run = static_cast<int64_t>(item);
  while (axis > 0 && chunk_[axis] == shape_[axis]) run *= shape_[axis--];
  const bool whole_rows = axis == 0;
  const int64_t chunk_row_bytes = chunk_bytes_ / chunk_[0];
  std::unique_ptr<std::byte[]> scratch;

  for (size_t begin = 0; begin < rows.size();) {
    const int64_t chunk_row = rows[begin] / chunk_[0];
    size_t end = begin + 1;
    while (end < rows.size() && rows[end] / chunk_[0] == chunk_row) ++end;
    auto wanted = rows.subspan(begin, end - begin);
    std::byte* target = out + begin * row_bytes_;
    const int64_t first = chunk_row * chunk_[0];
    const bool all =
        static_cast<int64_t>(wanted.size()) == std::min(chunk_[0], shape_[0] - first) &&
        wanted[0] == first && Consecutive(wanted);
    begin = end;

    Coordinates origin(rank, 0);
    origin[0] = static_cast<unsigned long long>(first);
    if (whole_rows && all && static_cast<int64_t>(wanted.size()) == chunk_[0]) {
      ZN_RETURN_IF_ERROR(ReadChunk(origin, {target, static_cast<size_t>(chunk_bytes_)}));
      continue;
    }
    while (true) {
      const std::byte* bytes;
      std::shared_ptr<const std::vector<std::byte>> cached;
      if (all) {
        if (!scratch) scratch.reset(new std::byte[static_cast<size_t>(chunk_bytes_)]);
        ZN_RETURN_IF_ERROR(ReadChunk(origin, {scratch.get(), static_cast<size_t>(chunk_bytes_)}));
        bytes = scratch.get();
      } else {
        ZN_ASSIGN_OR_RETURN(cached, CachedChunk(origin));
        bytes = cached->data();
      }
      // Copies the chunk's part of each row: runs of `run` times what lies within the array along
      // `axis`.
      for (size_t r = 0; r < wanted.size(); ++r) {
        const std::byte* from = bytes + (wanted[r] - first) * chunk_row_bytes;
        std::byte* to = target + r * row_bytes_;
        if (whole_rows) {
          std::memcpy(to, from, static_cast<size_t>(row_bytes_));
          continue;
        }
        std::vector<int64_t> at(rank, 0);
        const int64_t along =
            std::min(chunk_[axis], shape_[axis] - static_cast<int64_t>(origin[axis]));
        while (true) {
          int64_t source = 0, destination = 0;
          for (size_t i = 1; i <= axis; ++i) {
            source = source * chunk_[i] + at[i];
            destination = destination * shape_[i] + static_cast<int64_t>(origin[i]) + at[i];
          }
          std::memcpy(to + destination * run, from + source * run,
                      static_cast<size_t>(along * run));
          size_t i = axis - 1;
          while (i >= 1 &&
                 ++at[i] >= std::min(chunk_[i], shape_[i] - static_cast<int64_t>(origin[i])))
            at[i--] = 0;
          if (i == 0) break;
        }
      }
      size_t i = rank - 1;
      while (i >= 1) {
        origin[i] += static_cast<unsigned long long>(chunk_[i]);
        if (static_cast<int64_t>(origin[i]) < shape_[i]) break;
        origin[i--] = 0;
      }
      if (i == 0) break;
    }
  }
  return {};
}

Result<std::vector<std::string>> Dataset::ReadText(std::span<const int64_t> rows,
                                                   int64_t limit) const {
  std::vector<std::string> texts;
  int64_t count;
  Error too_large = Fail(ErrorCode::kTooLarge,
                         "has more than " + std::to_string(limit) + " bytes of text in one batch",
                         "read fewer frames, or smaller batches");
  if (__builtin_mul_overflow(static_cast<int64_t>(rows.size()), row_elements_, &count) ||
      count > limit / static_cast<int64_t>(std::max<size_t>(text_size_, sizeof(char*)))) {
    return too_large;
  }
  texts.reserve(static_cast<size_t>(count));
  TextBudget budget{limit};
  auto read = ForRuns(rows, [&](int64_t first, int64_t run, size_t) -> Result<> {
    Lock lock;
    hsize_t start[H5S_MAX_RANK] = {}, extent[H5S_MAX_RANK] = {};
    for (size_t i = 0; i < shape_.size(); ++i) extent[i] = static_cast<hsize_t>(shape_[i]);
    if (!shape_.empty()) {
      start[0] = static_cast<hsize_t>(first);
      extent[0] = static_cast<hsize_t>(run);
    }
    int rank = static_cast<int>(shape_.size());
    Handle memory(rank == 0 ? H5Screate(H5S_SCALAR) : H5Screate_simple(rank, extent, nullptr),
                  H5Sclose);
    Handle selection(H5Scopy(space_.get()), H5Sclose);
    if (rank > 0)
      H5Sselect_hyperslab(selection.get(), H5S_SELECT_SET, start, nullptr, extent, nullptr);
    size_t n = static_cast<size_t>(run * row_elements_);
    Error bad = Fail(ErrorCode::kCorrupt,
                     "the texts from row " + std::to_string(first) + " on cannot be read",
                     "copy the file again from its source");
    if (variable_text_) {
      Handle transfer(H5Pcreate(H5P_DATASET_XFER), H5Pclose);
      H5Pset_vlen_mem_manager(transfer.get(), AllocateText, &budget, FreeText, nullptr);
      std::vector<char*> pointers(n, nullptr);
      herr_t status = H5Dread(Id(object_), type_.get(), memory.get(), selection.get(),
                              transfer.get(), pointers.data());
      if (status >= 0) {
        for (char* text : pointers) texts.emplace_back(text ? text : "");
      }
      for (char* text : pointers) std::free(text);
      if (status < 0) {
        std::string inner = LastMessage();
        if (budget.left < limit / 2 && inner.find("alloc") != std::string::npos) return too_large;
        bad.message += " (libhdf5: " + inner + ")";
        return bad;
      }
      return {};
    }
    std::vector<char> bytes(n * text_size_);
    if (H5Dread(Id(object_), type_.get(), memory.get(), selection.get(), H5P_DEFAULT,
                bytes.data()) < 0) {
      return bad;
    }
    bool spaces = H5Tget_strpad(type_.get()) == H5T_STR_SPACEPAD;
    for (size_t i = 0; i < n; ++i) {
      const char* text = bytes.data() + i * text_size_;
      texts.emplace_back(text, strnlen(text, text_size_));
      while (spaces && texts.back().ends_with(' ')) texts.back().pop_back();
    }
    return {};
  });
  if (!read) return std::move(read).error();
  return texts;
}

}  // namespace zn::formats::h5
