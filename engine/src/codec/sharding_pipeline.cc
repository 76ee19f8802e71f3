// sharding_indexed as a codec: for shards within shards, and for whoever has a shard as a whole. Readers of files take the
// index apart themselves (zn/engine/shard.h), so that they need not fetch what they do not want.
#include <algorithm>

#include "codec/bytes_codec.h"
#include "codec/pipelines.h"
#include "zn/engine/region.h"
#include "zn/engine/shard.h"

namespace zn {
namespace {

class ShardingPipeline final : public CodecPipeline {
 public:
  ShardingPipeline(DType dtype, Shape chunk, bool index_at_end, ShardIndexFormat index,
                   std::shared_ptr<const CodecPipeline> inner, std::vector<std::byte> fill)
      : dtype_(dtype),
        chunk_(chunk),
        index_at_end_(index_at_end),
        index_(index),
        inner_(std::move(inner)),
        fill_(std::move(fill)) {}

  Result<std::vector<std::byte>> Encode(std::span<const std::byte>, const Shape&) const override {
    return Error{ErrorCode::kUnsupported, "sharding_indexed: is read, but not written"};
  }

  Result<> Decode(std::span<const std::byte> encoded, const Shape& shape, std::span<std::byte> out) const override {
    return DecodeRows(encoded, shape, 0, shape.rank() == 0 ? 0 : shape[0], out);
  }

  using CodecPipeline::DecodeRows;
  Result<> DecodeRows(ByteSource& source, const Shape& shape, int64_t first, int64_t count,
                      std::span<std::byte> out) const override {
    if (shape.rank() != chunk_.rank() || shape.rank() == 0)
      return Error{ErrorCode::kInvalidArgument, "sharding_indexed: chunks of " + chunk_.ToString() +
                                                    " in a shard of " + shape.ToString()};
    if (first < 0 || count < 0 || first > shape[0] || count > shape[0] - first)
      return Error{ErrorCode::kOutOfRange, "rows beyond a shard of " + shape.ToString()};
    Shape wanted = shape;
    wanted[0] = count;
    ZN_RETURN_IF_ERROR(CheckArraySize(wanted, dtype_, out.size()));
    Shape grid;
    for (size_t axis = 0; axis < shape.rank(); ++axis) {
      if (shape[axis] % chunk_[axis] != 0)
        return Error{ErrorCode::kInvalidArgument, "sharding_indexed: a shard of " + shape.ToString() +
                                                      " is not made of chunks of " + chunk_.ToString()};
      grid.Append(shape[axis] / chunk_[axis]);
    }
    const int64_t chunks = grid.Elements();
    ZN_ASSIGN_OR_RETURN(const auto encoded, source.Fetch(0, source.size()));
    ZN_ASSIGN_OR_RETURN(const size_t index_size, index_.Size(chunks));
    if (encoded.size() < index_size)
      return Error{ErrorCode::kCorrupt, "sharding_indexed: " + std::to_string(encoded.size()) +
                                            " bytes are too few for the index of " + std::to_string(index_size)};
    ZN_ASSIGN_OR_RETURN(const auto entries,
                        index_.Decode(index_at_end_ ? encoded.last(index_size) : encoded.first(index_size), chunks,
                                      encoded.size()));
    if (out.empty()) return {};
    return Assemble(encoded, entries, grid, first, wanted, out);
  }

  Result<std::vector<std::byte>> DecodeVariable(std::span<const std::byte>, size_t) const override {
    return Error{ErrorCode::kUnsupported, "sharding_indexed: texts are not read from shards within shards"};
  }
  bool IsIdentity() const override { return false; }
  bool CanEncode() const override { return false; }

 private:
  /// Rows [first, first + wanted[0]) from the chunks that hold some of them.
  Result<> Assemble(std::span<const std::byte> encoded, std::span<const ShardEntry> entries, const Shape& grid,
                    int64_t first, const Shape& wanted, std::span<std::byte> out) const {
    const size_t item = ItemSize(dtype_);
    Scratch memory;
    const std::span<std::byte> chunk = memory.Resize(static_cast<size_t>(chunk_.Elements()) * item);
    const size_t rank = grid.rank();
    Shape at;
    for (size_t axis = 0; axis < rank; ++axis) at.Append(0);
    for (size_t i = 0; i < entries.size(); ++i) {
      const int64_t begin = std::max(first, at[0] * chunk_[0]);
      const int64_t end = std::min(first + wanted[0], (at[0] + 1) * chunk_[0]);
      if (begin < end) {
        if (entries[i].empty()) {
          RepeatElement(fill_, chunk);
        } else {
          ZN_RETURN_IF_ERROR(inner_->Decode(encoded.subspan(entries[i].offset, entries[i].length), chunk_, chunk));
        }
        Shape from = at, to = at, extent = chunk_;
        for (size_t axis = 0; axis < rank; ++axis) {
          from[axis] = 0;
          to[axis] = at[axis] * chunk_[axis];
        }
        from[0] = begin - at[0] * chunk_[0];
        to[0] = begin - first;
        extent[0] = end - begin;
        CopyRegion(chunk.data(), chunk_, from, out.data(), wanted, to, extent, item);
      }
      for (size_t axis = rank; axis-- > 0;) {
        if (++at[axis] < grid[axis]) break;
        at[axis] = 0;
      }
    }
    return {};
  }

  const DType dtype_;
  const Shape chunk_;
  const bool index_at_end_;
  const ShardIndexFormat index_;
  const std::shared_ptr<const CodecPipeline> inner_;
  const std::vector<std::byte> fill_;
};

}  // namespace

MadePipeline MakeShardingPipeline(std::span<const CodecConfig> list, DType dtype, std::span<const std::byte> fill) {
  const CodecConfig& config = list[0];
  if (list.size() > 1)
    return Error{ErrorCode::kUnsupported, "codec \"" + list[1].name().substr(0, 64) +
                                              "\": codecs behind sharding_indexed are not read"};
  ZN_RETURN_IF_ERROR(config.CheckKeys({"chunk_shape", "codecs", "index_codecs", "index_location"}));
  ZN_ASSIGN_OR_RETURN(const std::vector<int64_t> extents, config.Integers("chunk_shape"));
  if (extents.empty() || extents.size() > Shape::kMaxRank) return config.Invalid("\"chunk_shape\" has 0 or more than 8 axes");
  const Shape chunk{std::span(extents)};
  int64_t bytes = chunk.Elements();
  if (*std::min_element(extents.begin(), extents.end()) < 1 || bytes < 0 ||
      __builtin_mul_overflow(bytes, static_cast<int64_t>(std::max<size_t>(ItemSize(dtype), 1)), &bytes) ||
      bytes > int64_t{1} << 31)
    return config.Invalid("\"chunk_shape\" " + chunk.ToString() + " is not above 0, or beyond 2 GiB");
  ZN_ASSIGN_OR_RETURN(const std::string codecs, config.Codecs("codecs"));
  ZN_ASSIGN_OR_RETURN(const std::string index_codecs, config.Codecs("index_codecs"));
  ZN_ASSIGN_OR_RETURN(const size_t location, config.Choice("index_location", {"end", "start"}, 0));
  ZN_ASSIGN_OR_RETURN(const ShardIndexFormat index, ShardIndexFormat::Create(index_codecs));
  // Shards within shards nest by their JSON, which cannot be deep: it is parsed within a bounded text.
  ZN_ASSIGN_OR_RETURN(auto inner, CodecPipeline::Create(codecs, dtype, fill));
  std::vector<std::byte> element(fill.begin(), fill.end());
  if (element.empty() && dtype != DType::kJson) {
    element.resize(ItemSize(dtype));
    WriteFillValue(dtype, element.data());
  }
  return std::make_shared<const ShardingPipeline>(dtype, chunk, location == 0, index, std::move(inner),
                                                  std::move(element));
}

}  // namespace zn
