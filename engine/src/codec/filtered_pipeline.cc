// Array -> array codecs in front of another pipeline. Zarr v2's filters are rare and never in a room's own chunks, so this is
// apart from the hot path: every chunk is decoded whole, into memory of its own.
#include <array>
#include <cstring>

#include "codec/array_codec.h"
#include "codec/bytes_codec.h"
#include "codec/pipelines.h"

namespace zn {
namespace {

class FilteredPipeline final : public CodecPipeline {
 public:
  FilteredPipeline(DType dtype, std::optional<std::vector<int64_t>> order,
                   std::vector<std::unique_ptr<const ArrayFilter>> filters,
                   std::shared_ptr<const CodecPipeline> inner)
      : dtype_(dtype),
        inner_dtype_(filters.empty() ? dtype : filters.back()->encoded()),
        order_(std::move(order)),
        filters_(std::move(filters)),
        inner_(std::move(inner)) {}

  Result<std::vector<std::byte>> Encode(std::span<const std::byte> raw, const Shape& shape) const override {
    ZN_RETURN_IF_ERROR(CheckArraySize(shape, dtype_, raw.size()));
    ZN_ASSIGN_OR_RETURN(const Shape stored, Stored(shape));
    const size_t count = raw.size() / ItemSize(dtype_);
    std::array<Scratch, 2> memory;
    size_t turn = 0;
    std::span<const std::byte> in = raw;
    if (order_) {
      const std::span<std::byte> out = memory[turn].Resize(raw.size());
      TransposeArray(in, shape, *order_, ItemSize(dtype_), out);
      in = out;
      turn ^= 1;
    }
    for (const auto& filter : filters_) {
      const std::span<std::byte> out = memory[turn].Resize(count * ItemSize(filter->encoded()));
      filter->Encode(in, out);
      in = out;
      turn ^= 1;
    }
    return inner_->Encode(in, stored);
  }

  Result<> Decode(std::span<const std::byte> encoded, const Shape& shape, std::span<std::byte> out) const override {
    ZN_RETURN_IF_ERROR(CheckArraySize(shape, dtype_, out.size()));
    ZN_ASSIGN_OR_RETURN(const Shape stored, Stored(shape));
    const size_t count = out.size() / ItemSize(dtype_);
    std::array<Scratch, 2> memory;
    size_t turn = 0;
    const std::span<std::byte> first = memory[turn].Resize(count * ItemSize(inner_dtype_));
    ZN_RETURN_IF_ERROR(inner_->Decode(encoded, stored, first));
    std::span<const std::byte> in = first;
    for (size_t i = filters_.size(); i-- > 0;) {
      turn ^= 1;
      const std::span<std::byte> step = memory[turn].Resize(count * ItemSize(filters_[i]->decoded()));
      filters_[i]->Decode(in, step);
      in = step;
    }
    if (!order_) {
      if (!in.empty()) std::memcpy(out.data(), in.data(), in.size());
      return {};
    }
    std::array<int64_t, Shape::kMaxRank> back{};
    for (size_t axis = 0; axis < order_->size(); ++axis)
      back[static_cast<size_t>((*order_)[axis])] = static_cast<int64_t>(axis);
    TransposeArray(in, stored, std::span(back).first(order_->size()), ItemSize(dtype_), out);
    return {};
  }

  using CodecPipeline::DecodeRows;
  Result<> DecodeRows(ByteSource& source, const Shape& shape, int64_t first, int64_t count,
                      std::span<std::byte> out) const override {
    if (shape.rank() == 0 || first < 0 || count < 0 || first > shape[0] || count > shape[0] - first)
      return Error{ErrorCode::kOutOfRange, "rows beyond a chunk of " + shape.ToString()};
    Shape rows = shape;
    rows[0] = count;
    ZN_RETURN_IF_ERROR(CheckArraySize(rows, dtype_, out.size()));
    if (out.empty()) return {};
    const size_t row = out.size() / static_cast<size_t>(count);
    Scratch whole;
    const std::span<std::byte> all = whole.Resize(row * static_cast<size_t>(shape[0]));
    ZN_ASSIGN_OR_RETURN(const auto encoded, source.Fetch(0, source.size()));
    ZN_RETURN_IF_ERROR(Decode(encoded, shape, all));
    std::memcpy(out.data(), all.data() + row * static_cast<size_t>(first), out.size());
    return {};
  }

  Result<std::vector<std::byte>> DecodeVariable(std::span<const std::byte>, size_t) const override {
    return Error{ErrorCode::kInvalidArgument, "filtered chunks have a fixed size: use Decode"};
  }
  bool IsIdentity() const override { return false; }
  bool CanEncode() const override { return inner_->CanEncode(); }

 private:
  Result<Shape> Stored(const Shape& shape) const {
    if (!order_) return shape;
    if (order_->size() != shape.rank())
      return Error{ErrorCode::kInvalidArgument, "codec \"transpose\": orders " + std::to_string(order_->size()) +
                                                    " axes, but a chunk is " + shape.ToString()};
    Shape stored;
    for (const int64_t axis : *order_) stored.Append(shape[static_cast<size_t>(axis)]);
    return stored;
  }

  const DType dtype_, inner_dtype_;
  const std::optional<std::vector<int64_t>> order_;  // of all transposes together
  const std::vector<std::unique_ptr<const ArrayFilter>> filters_;
  const std::shared_ptr<const CodecPipeline> inner_;
};

}  // namespace

Result<> CheckArraySize(const Shape& shape, DType dtype, size_t bytes) {
  int64_t size = shape.Elements();
  if (size < 0 || __builtin_mul_overflow(size, static_cast<int64_t>(ItemSize(dtype)), &size))
    return Error{ErrorCode::kTooLarge, "the size of a chunk of " + shape.ToString() + " overflows"};
  if (static_cast<uint64_t>(size) == bytes) return {};
  return Error{ErrorCode::kInvalidArgument, std::to_string(bytes) + " bytes for a chunk of " + shape.ToString() + " " +
                                                std::string(ZarrName(dtype)) + ", which has " + std::to_string(size)};
}

MadePipeline MakeFilteredPipeline(std::span<const CodecConfig> list, DType dtype, std::span<const std::byte> fill) {
  std::optional<std::vector<int64_t>> order;
  std::vector<std::unique_ptr<const ArrayFilter>> filters;
  DType type = dtype;
  size_t next = 0;
  for (; next < list.size(); ++next) {
    const CodecConfig& config = list[next];
    const bool transpose = config.name() == "transpose";
    if (!transpose && !IsArrayFilter(config.name())) break;
    if (dtype == DType::kJson) return config.Invalid("not for texts");
    if (transpose) {
      if (!filters.empty()) return config.Invalid("must come before filters");
      ZN_RETURN_IF_ERROR(AddTranspose(config, order));
    } else {
      ZN_ASSIGN_OR_RETURN(auto filter, MakeArrayFilter(config, type));
      type = filter->encoded();
      filters.push_back(std::move(filter));
    }
  }
  for (size_t i = next + 1; i < list.size(); ++i)
    if (IsArrayFilter(list[i].name()) || list[i].name() == "sharding_indexed")
      return list[i].Invalid("must come before codecs of bytes");
  // A filter makes other values of the fill value; the chunks of a shard cannot be left out then.
  ZN_ASSIGN_OR_RETURN(auto inner, MakePipeline(list.subspan(next), type, filters.empty() ? fill : std::span<const std::byte>()));
  return std::make_shared<const FilteredPipeline>(dtype, std::move(order), std::move(filters), std::move(inner));
}

}  // namespace zn
