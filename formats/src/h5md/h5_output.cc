#include "h5md/h5_output.h"

#include <libdeflate.h>

#include <algorithm>
#include <cstring>

namespace zn::formats::h5 {
namespace {

constexpr int64_t kMaxChunkBytes = 64 << 20;
constexpr hsize_t kTextChunk = 1024;

// As h5py spells what HDF5 has no type for.
Handle FileType(DType dtype) {
  auto copy = [](hid_t type) { return Handle(H5Tcopy(type), H5Tclose); };
  switch (dtype) {
    case DType::kBool: {
      Handle type(H5Tenum_create(H5T_STD_I8LE), H5Tclose);
      int8_t no = 0, yes = 1;
      H5Tenum_insert(type.get(), "FALSE", &no);
      H5Tenum_insert(type.get(), "TRUE", &yes);
      return type;
    }
    case DType::kInt8:
      return copy(H5T_STD_I8LE);
    case DType::kInt16:
      return copy(H5T_STD_I16LE);
    case DType::kInt32:
      return copy(H5T_STD_I32LE);
    case DType::kInt64:
      return copy(H5T_STD_I64LE);
    case DType::kUInt8:
      return copy(H5T_STD_U8LE);
    case DType::kUInt16:
      return copy(H5T_STD_U16LE);
    case DType::kUInt32:
      return copy(H5T_STD_U32LE);
    case DType::kUInt64:
      return copy(H5T_STD_U64LE);
    case DType::kFloat16: {
      Handle type = copy(H5T_IEEE_F32LE);
      H5Tset_fields(type.get(), 15, 10, 5, 0, 10);
      H5Tset_precision(type.get(), 16);
      H5Tset_size(type.get(), 2);
      H5Tset_ebias(type.get(), 15);
      return type;
    }
    case DType::kFloat32:
      return copy(H5T_IEEE_F32LE);
    case DType::kFloat64:
      return copy(H5T_IEEE_F64LE);
    case DType::kComplex64:
    case DType::kComplex128: {
      const size_t half = ItemSize(dtype) / 2;
      const hid_t part = half == 4 ? H5T_IEEE_F32LE : H5T_IEEE_F64LE;
      Handle type(H5Tcreate(H5T_COMPOUND, 2 * half), H5Tclose);
      H5Tinsert(type.get(), "r", 0, part);
      H5Tinsert(type.get(), "i", half, part);
      return type;
    }
    case DType::kJson:
      break;
  }
  Handle type = copy(H5T_C_S1);
  H5Tset_size(type.get(), H5T_VARIABLE);
  H5Tset_cset(type.get(), H5T_CSET_UTF8);
  return type;
}

// HDF5's shuffle: all first bytes of the elements, then all second ones.
void Shuffle(std::span<const std::byte> in, size_t item, std::byte* out) {
  const size_t count = in.size() / item;
  for (size_t byte = 0; byte < item; ++byte)
    for (size_t i = 0; i < count; ++i) *out++ = in[i * item + byte];
}

std::pair<std::string, std::string> Split(const std::string& path) {
  const size_t slash = path.rfind('/');
  if (slash == std::string::npos) return {"", path};
  return {path.substr(0, slash), path.substr(slash + 1)};
}

}  // namespace

Result<std::unique_ptr<Output>> Output::Create(const std::string& path, const Storage& storage) {
  std::unique_ptr<Output> output(new Output);
  output->path_ = path;
  output->storage_ = storage;
  Lock lock;
  Handle access(H5Pcreate(H5P_FILE_ACCESS), H5Pclose);
  H5Pset_file_locking(access.get(), false, true);
  output->file_ =
      Handle(H5Fcreate(path.c_str(), H5F_ACC_TRUNC, H5P_DEFAULT, access.get()), H5Fclose);
  if (!output->file_) return output->Fail("", "cannot be created");
  return output;
}

Result<Handle> Output::Group(const std::string& path) {
  Lock lock;
  if (path.empty()) return Handle(H5Gopen2(id(), "/", H5P_DEFAULT), H5Gclose);
  // Step by step: H5Lexists wants all links above to exist.
  for (size_t slash = path.find('/');; slash = path.find('/', slash + 1)) {
    const std::string part = path.substr(0, slash);
    const bool last = slash == std::string::npos;
    const bool exists = H5Lexists(id(), part.c_str(), H5P_DEFAULT) > 0;
    Handle group(exists ? H5Gopen2(id(), part.c_str(), H5P_DEFAULT)
                        : H5Gcreate2(id(), part.c_str(), H5P_DEFAULT, H5P_DEFAULT, H5P_DEFAULT),
                 H5Gclose);
    if (!group) return Fail(part, "cannot be made");
    if (last) return group;
  }
}

Result<> Output::SetText(const Handle& object, const char* name, std::string_view text) {
  Lock lock;
  const std::string copy(text);
  const char* pointer = copy.c_str();
  Handle type = FileType(DType::kJson), space(H5Screate(H5S_SCALAR), H5Sclose);
  Handle attribute(
      H5Acreate2(object.get(), name, type.get(), space.get(), H5P_DEFAULT, H5P_DEFAULT), H5Aclose);
  if (!attribute || H5Awrite(attribute.get(), type.get(), &pointer) < 0)
    return Fail(name, "cannot be set");
  return {};
}

Result<> Output::SetTexts(const Handle& object, const char* name,
                          std::span<const std::string> texts) {
  Lock lock;
  std::vector<const char*> pointers;
  for (const std::string& text : texts) pointers.push_back(text.c_str());
  const hsize_t count = pointers.size();
  Handle type = FileType(DType::kJson), space(H5Screate_simple(1, &count, nullptr), H5Sclose);
  Handle attribute(
      H5Acreate2(object.get(), name, type.get(), space.get(), H5P_DEFAULT, H5P_DEFAULT), H5Aclose);
  if (!attribute || H5Awrite(attribute.get(), type.get(), pointers.data()) < 0)
    return Fail(name, "cannot be set");
  return {};
}

Result<> Output::SetIntegers(const Handle& object, const char* name,
                             std::span<const int64_t> values, bool scalar) {
  Lock lock;
  const hsize_t count = values.size();
  Handle space(scalar ? H5Screate(H5S_SCALAR) : H5Screate_simple(1, &count, nullptr), H5Sclose);
  Handle attribute(
      H5Acreate2(object.get(), name, H5T_STD_I32LE, space.get(), H5P_DEFAULT, H5P_DEFAULT),
      H5Aclose);
  if (!attribute || H5Awrite(attribute.get(), H5T_NATIVE_INT64, values.data()) < 0)
    return Fail(name, "cannot be set");
  return {};
}

Result<> Output::Link(const std::string& target, const std::string& name) {
  ZN_ASSIGN_OR_RETURN(Handle group, Group(Split(name).first));
  Lock lock;
  if (H5Lcreate_hard(id(), target.c_str(), id(), name.c_str(), H5P_DEFAULT, H5P_DEFAULT) < 0)
    return Fail(name, "cannot be linked");
  return {};
}

Result<> Output::Close() {
  Lock lock;
  if (H5Fflush(id(), H5F_SCOPE_LOCAL) < 0) return Fail("", "cannot be written");
  file_ = Handle();
  return {};
}

Result<std::unique_ptr<RowWriter>> RowWriter::Create(Output* output, const std::string& path,
                                                     DType dtype, const Shape& row, int64_t fill) {
  std::unique_ptr<RowWriter> writer(new RowWriter);
  writer->output_ = output;
  writer->path_ = path;
  writer->item_ = ItemSize(dtype);
  const int64_t elements = row.Elements();
  int64_t row_bytes;
  if (elements < 0 ||
      __builtin_mul_overflow(elements, static_cast<int64_t>(writer->item_), &row_bytes))
    return Error{ErrorCode::kTooLarge, path + ": a row has more bytes than can be counted"};
  writer->row_bytes_ = static_cast<size_t>(row_bytes);
  const Storage& storage = output->storage();
  // Rows that are larger than a chunk may be are cut along their first axis.
  writer->block_ = row.rank() > 0 ? std::max<int64_t>(row[0], 1) : 1;
  if (row_bytes > kMaxChunkBytes && row.rank() > 0)
    writer->block_ = std::max<int64_t>(1, row[0] * kMaxChunkBytes / row_bytes);
  writer->blocks_ = row.rank() > 0 ? (row[0] + writer->block_ - 1) / writer->block_ : 1;
  writer->block_bytes_ =
      row.rank() > 0 && row[0] > 0
          ? writer->row_bytes_ / static_cast<size_t>(row[0]) * static_cast<size_t>(writer->block_)
          : writer->row_bytes_;
  writer->chunk_rows_ =
      writer->blocks_ > 1
          ? 1
          : std::clamp<int64_t>(storage.chunk_bytes / std::max<int64_t>(row_bytes, 1), 1, 1 << 16);
  writer->buffer_.resize(static_cast<size_t>(writer->chunk_rows_) * writer->row_bytes_);

  std::vector<hsize_t> shape{0}, most{H5S_UNLIMITED},
      chunk{static_cast<hsize_t>(writer->chunk_rows_)};
  for (size_t axis = 0; axis < row.rank(); ++axis) {
    const auto extent = static_cast<hsize_t>(row[axis]);
    shape.push_back(extent);
    most.push_back(extent > 0 ? extent : H5S_UNLIMITED);
    chunk.push_back(axis == 0 ? static_cast<hsize_t>(writer->block_)
                              : std::max<hsize_t>(extent, 1));
  }
  writer->shape_ = shape;
  writer->fill_.resize(writer->item_);
  if (fill != 0) {
    std::memcpy(writer->fill_.data(), &fill, std::min<size_t>(writer->item_, sizeof fill));
  } else {
    WriteFillValue(dtype, writer->fill_.data());
  }

  auto [folder, name] = Split(path);
  ZN_ASSIGN_OR_RETURN(Handle group, output->Group(folder));
  Lock lock;
  Handle type = FileType(dtype);
  const int rank = static_cast<int>(shape.size());
  Handle space(H5Screate_simple(rank, shape.data(), most.data()), H5Sclose);
  Handle create(H5Pcreate(H5P_DATASET_CREATE), H5Pclose);
  H5Pset_chunk(create.get(), rank, chunk.data());
  H5Pset_fill_value(create.get(), type.get(), writer->fill_.data());
  if (storage.level > 0) {
    if (writer->item_ > 1) H5Pset_shuffle(create.get());
    H5Pset_deflate(create.get(), static_cast<unsigned>(storage.level));
  }
  writer->dataset_ = Handle(H5Dcreate2(group.get(), name.c_str(), type.get(), space.get(),
                                       H5P_DEFAULT, create.get(), H5P_DEFAULT),
                            H5Dclose);
  if (!writer->dataset_) return output->Fail(path, "cannot be made");
  return writer;
}

Result<> RowWriter::Append(std::span<const std::byte> rows, int64_t count) {
  rows_ += count;
  while (!rows.empty()) {
    const size_t take = std::min(rows.size(), buffer_.size() - used_);
    std::memcpy(buffer_.data() + used_, rows.data(), take);
    used_ += take;
    rows = rows.subspan(take);
    if (used_ == buffer_.size()) ZN_RETURN_IF_ERROR(Flush(chunk_rows_));
  }
  return {};
}

// `rows` of the buffer, the rest of the chunk being fill.
Result<> RowWriter::Flush(int64_t rows) {
  for (int64_t block = 0; block < blocks_; ++block) {
    Chunk chunk;
    chunk.offset.assign(shape_.size(), 0);
    chunk.offset[0] = static_cast<hsize_t>(written_);
    if (chunk.offset.size() > 1) chunk.offset[1] = static_cast<hsize_t>(block * block_);
    chunk.bytes.resize(static_cast<size_t>(chunk_rows_) * block_bytes_);
    size_t filled;
    if (blocks_ == 1) {
      filled = static_cast<size_t>(rows) * row_bytes_;
      std::memcpy(chunk.bytes.data(), buffer_.data(), filled);
    } else {
      const size_t from = static_cast<size_t>(block) * block_bytes_;
      filled = std::min(block_bytes_, row_bytes_ - from);
      std::memcpy(chunk.bytes.data(), buffer_.data() + from, filled);
    }
    for (; filled < chunk.bytes.size(); filled += item_)
      std::memcpy(chunk.bytes.data() + filled, fill_.data(), item_);
    packing_.push_back(
        std::async(std::launch::async, Pack, std::move(chunk), item_, output_->storage().level));
    while (packing_.size() > output_->storage().threads) {
      ZN_RETURN_IF_ERROR(Write(packing_.front().get()));
      packing_.pop_front();
    }
  }
  written_ += rows;
  used_ = 0;
  return {};
}

RowWriter::Chunk RowWriter::Pack(Chunk chunk, size_t item, int level) {
  if (level == 0) return chunk;
  std::vector<std::byte> shuffled;
  if (item > 1) {
    shuffled.resize(chunk.bytes.size());
    Shuffle(chunk.bytes, item, shuffled.data());
  } else {
    shuffled = std::move(chunk.bytes);
  }
  std::unique_ptr<libdeflate_compressor, void (*)(libdeflate_compressor*)> compressor(
      libdeflate_alloc_compressor(level), libdeflate_free_compressor);
  chunk.bytes.resize(libdeflate_zlib_compress_bound(compressor.get(), shuffled.size()));
  chunk.bytes.resize(libdeflate_zlib_compress(compressor.get(), shuffled.data(), shuffled.size(),
                                              chunk.bytes.data(), chunk.bytes.size()));
  return chunk;
}

Result<> RowWriter::Write(const Chunk& chunk) {
  Lock lock;
  if (shape_[0] < chunk.offset[0] + static_cast<hsize_t>(chunk_rows_)) {
    shape_[0] =
        std::min(chunk.offset[0] + static_cast<hsize_t>(chunk_rows_), static_cast<hsize_t>(rows_));
    if (H5Dset_extent(dataset_.get(), shape_.data()) < 0)
      return output_->Fail(path_, "cannot grow");
  }
  if (H5Dwrite_chunk(dataset_.get(), H5P_DEFAULT, 0, chunk.offset.data(), chunk.bytes.size(),
                     chunk.bytes.data()) < 0)
    return output_->Fail(path_, "cannot be written");
  return {};
}

Result<> RowWriter::Finish() {
  if (used_ > 0) ZN_RETURN_IF_ERROR(Flush(static_cast<int64_t>(used_ / row_bytes_)));
  while (!packing_.empty()) {
    ZN_RETURN_IF_ERROR(Write(packing_.front().get()));
    packing_.pop_front();
  }
  if (shape_[0] == static_cast<hsize_t>(rows_)) return {};
  // Rows of no bytes have no chunks.
  Lock lock;
  shape_[0] = static_cast<hsize_t>(rows_);
  if (H5Dset_extent(dataset_.get(), shape_.data()) < 0) return output_->Fail(path_, "cannot grow");
  return {};
}

Result<std::unique_ptr<TextWriter>> TextWriter::Create(Output* output, const std::string& path) {
  std::unique_ptr<TextWriter> writer(new TextWriter);
  writer->output_ = output;
  writer->path_ = path;
  auto [folder, name] = Split(path);
  ZN_ASSIGN_OR_RETURN(Handle group, output->Group(folder));
  Lock lock;
  const hsize_t none = 0, most = H5S_UNLIMITED;
  writer->type_ = FileType(DType::kJson);
  Handle space(H5Screate_simple(1, &none, &most), H5Sclose);
  Handle create(H5Pcreate(H5P_DATASET_CREATE), H5Pclose);
  H5Pset_chunk(create.get(), 1, &kTextChunk);
  writer->dataset_ = Handle(H5Dcreate2(group.get(), name.c_str(), writer->type_.get(), space.get(),
                                       H5P_DEFAULT, create.get(), H5P_DEFAULT),
                            H5Dclose);
  if (!writer->dataset_) return output->Fail(path, "cannot be made");
  return writer;
}

Result<> TextWriter::Append(std::span<const std::string> texts) {
  if (texts.empty()) return {};
  std::vector<const char*> pointers;
  for (const std::string& text : texts) pointers.push_back(text.c_str());
  Lock lock;
  const hsize_t count = pointers.size(), start = rows_;
  rows_ += count;
  if (H5Dset_extent(dataset_.get(), &rows_) < 0) return output_->Fail(path_, "cannot grow");
  Handle space(H5Dget_space(dataset_.get()), H5Sclose);
  Handle memory(H5Screate_simple(1, &count, nullptr), H5Sclose);
  H5Sselect_hyperslab(space.get(), H5S_SELECT_SET, &start, nullptr, &count, nullptr);
  if (H5Dwrite(dataset_.get(), type_.get(), memory.get(), space.get(), H5P_DEFAULT,
               pointers.data()) < 0)
    return output_->Fail(path_, "cannot be written");
  return {};
}

}  // namespace zn::formats::h5
