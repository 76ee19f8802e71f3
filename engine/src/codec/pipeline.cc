#include <algorithm>
#include <array>
#include <cstring>
#include <functional>
#include <optional>

#include "codec/array_codec.h"
#include "codec/bytes_codec.h"
#include "codec/codec_config.h"
#include "codec/codecs.h"
#include "codec/pipelines.h"
#include "zn/engine/codec.h"

namespace zn {
namespace {

constexpr std::string_view kKnownCodecs =
    "transpose, bytes, vlen-utf8, sharding_indexed, blosc, zstd, lz4, gzip, crc32c, numcodecs.zlib, "
    "numcodecs.shuffle, numcodecs.delta, numcodecs.fixedscaleoffset, numcodecs.astype, zn.rounded";

// Scratch memory of a thread, kept between calls: taking fresh pages for every chunk would cost
// more than decoding it.
struct ThreadScratch {
  static constexpr size_t kKeep = 4 << 20;
  std::array<Scratch, 2> steps;  // of neighbouring bytes -> bytes codecs
  Scratch array;  // a chunk in another axis or byte order, or of which a part is wanted

  // The one of the two that `in` does not lie in.
  Scratch& StepFor(std::span<const std::byte> in) {
    const std::span<const std::byte> first = steps[0].bytes();
    const bool inside = !first.empty() && !std::less<>()(in.data(), first.data()) &&
                        std::less<>()(in.data(), first.data() + first.size());
    return steps[inside ? 1 : 0];
  }

  void Trim() {
    for (Scratch& scratch : steps) scratch.Trim(kKeep);
    array.Trim(kKeep);
  }
};

// Trims at the end of a call.
class ScratchLease {
 public:
  ScratchLease() : scratch_(ThisThread()) {}
  ~ScratchLease() { scratch_.Trim(); }
  ScratchLease(const ScratchLease&) = delete;
  ScratchLease& operator=(const ScratchLease&) = delete;
  ThreadScratch* operator->() { return &scratch_; }

 private:
  static ThreadScratch& ThisThread() {
    thread_local ThreadScratch scratch;
    return scratch;
  }
  ThreadScratch& scratch_;
};

size_t SaturatingDouble(size_t size) {
  constexpr size_t kSlack = 64 << 10;
  return size > (SIZE_MAX - kSlack) / 2 ? SIZE_MAX : 2 * size + kSlack;
}

class Pipeline final : public CodecPipeline {
 public:
  Pipeline(DType dtype, std::optional<std::vector<int64_t>> order, bool swap,
           std::vector<std::unique_ptr<const BytesCodec>> codecs)
      : dtype_(dtype), order_(std::move(order)), swap_(swap), codecs_(std::move(codecs)) {}

  Result<std::vector<std::byte>> Encode(std::span<const std::byte> raw,
                                        const Shape& shape) const override {
    if (dtype_ == DType::kJson) {
      uint32_t count = 0;
      if (raw.size() >= sizeof count) std::memcpy(&count, raw.data(), sizeof count);
      if (raw.size() < sizeof count || count != shape.Elements())
        return {ErrorCode::kInvalidArgument, "vlen-utf8: " + std::to_string(count) +
                                                 " texts for a chunk of " + shape.ToString()};
    } else {
      ZN_RETURN_IF_ERROR(CheckSize(shape, raw.size()));
    }
    ZN_RETURN_IF_ERROR(CheckRank(shape));
    ScratchLease scratch;
    std::span<const std::byte> in = raw;
    if (order_ || swap_) {
      const std::span<std::byte> array = scratch->array.Resize(raw.size());
      if (order_)
        TransposeArray(raw, shape, *order_, ItemSize(dtype_), array);
      else if (!raw.empty())
        std::memcpy(array.data(), raw.data(), raw.size());
      if (swap_) SwapByteOrder(dtype_, array);
      in = array;
    }
    for (const auto& codec : codecs_) {
      Scratch& out = scratch->StepFor(in);
      ZN_RETURN_IF_ERROR(codec->Encode(in, out));
      in = out.bytes();
    }
    return std::vector<std::byte>(in.begin(), in.end());
  }

  Result<> Decode(std::span<const std::byte> encoded, const Shape& shape,
                  std::span<std::byte> out) const override {
    ZN_RETURN_IF_ERROR(CheckFixed());
    ZN_RETURN_IF_ERROR(CheckSize(shape, out.size()));
    ZN_RETURN_IF_ERROR(CheckRank(shape));
    ScratchLease scratch;
    return DecodeArray(encoded, shape, out, scratch);
  }

  using CodecPipeline::DecodeRows;
  Result<> DecodeRows(ByteSource& source, const Shape& shape, int64_t first, int64_t count,
                      std::span<std::byte> out) const override {
    ZN_RETURN_IF_ERROR(CheckFixed());
    ZN_RETURN_IF_ERROR(CheckRank(shape));
    int64_t size = 0, rows = 0;
    ZN_ASSIGN_OR_RETURN(size, Size(shape));
    if (shape.rank() == 0) return {ErrorCode::kInvalidArgument, "a chunk without axes has no rows"};
    rows = shape[0];
    if (first < 0 || count < 0 || first > rows || count > rows - first)
      return {ErrorCode::kOutOfRange, "rows " + std::to_string(first) + " to " +
                                          std::to_string(first) + " + " + std::to_string(count) +
                                          " of a chunk of " + shape.ToString()};
    const int64_t row = rows > 0 ? size / rows : 0;
    if (static_cast<uint64_t>(row * count) != out.size())
      return {ErrorCode::kInvalidArgument, std::to_string(out.size()) + " bytes for " +
                                               std::to_string(count) + " rows of " +
                                               std::to_string(row)};
    if (out.empty()) return {};
    const auto offset = static_cast<size_t>(row * first);
    ScratchLease scratch;
    if (!order_ && codecs_.empty() && source.size() == static_cast<size_t>(size)) {
      ZN_ASSIGN_OR_RETURN(const auto rows_there, source.Fetch(offset, out.size()));
      std::memcpy(out.data(), rows_there.data(), out.size());
      if (swap_) SwapByteOrder(dtype_, out);
      return {};
    }
    if (!order_ && codecs_.size() == 1 && codecs_[0]->HasRanges() &&
        out.size() < static_cast<size_t>(size)) {
      ZN_RETURN_IF_ERROR(codecs_[0]->DecodeRange(source, static_cast<size_t>(size), offset, out));
      if (swap_) SwapByteOrder(dtype_, out);
      return {};
    }
    ZN_ASSIGN_OR_RETURN(const std::span<const std::byte> encoded, source.Fetch(0, source.size()));
    if (out.size() == static_cast<size_t>(size)) return DecodeArray(encoded, shape, out, scratch);

    // What only checks (crc32c) is peeled off; then a single codec with ranges, or none, can skip
    // the rest.
    if (!order_) {
      std::span<const std::byte> in = encoded;
      size_t left = codecs_.size();
      for (; left > 0 && codecs_[left - 1]->IsCheck(); --left) {
        ZN_ASSIGN_OR_RETURN(in, Peel(left - 1, in, static_cast<size_t>(size), scratch));
      }
      if (left == 0) {
        if (in.size() != static_cast<size_t>(size)) return WrongSize(in.size(), size);
        std::memcpy(out.data(), in.data() + offset, out.size());
        if (swap_) SwapByteOrder(dtype_, out);
        return {};
      }
      if (left == 1 && codecs_[0]->HasRanges()) {
        SpanSource peeled(in);
        ZN_RETURN_IF_ERROR(codecs_[0]->DecodeRange(peeled, static_cast<size_t>(size), offset, out));
        if (swap_) SwapByteOrder(dtype_, out);
        return {};
      }
    }
    // Decoded bytes and their transpose need a buffer each; a chunk of which rows are wanted is
    // rare in this path.
    Scratch whole;
    const std::span<std::byte> all = whole.Resize(static_cast<size_t>(size));
    ZN_RETURN_IF_ERROR(DecodeArray(encoded, shape, all, scratch));
    std::memcpy(out.data(), all.data() + offset, out.size());
    return {};
  }

  Result<std::vector<std::byte>> DecodeVariable(std::span<const std::byte> encoded,
                                                size_t limit) const override {
    if (dtype_ != DType::kJson)
      return {ErrorCode::kInvalidArgument,
              std::string(ZarrName(dtype_)) + " chunks have a fixed size: use Decode"};
    ScratchLease scratch;
    std::span<const std::byte> in = encoded;
    for (size_t i = codecs_.size(); i-- > 0;) {
      const size_t bound = i == 0 ? limit : SaturatingDouble(MaxEncodedSize(i, limit));
      auto decoded = codecs_[i]->Decode(in, bound, scratch->StepFor(in));
      if (!decoded) return std::move(decoded).error();
      in = *decoded;
    }
    if (in.size() > limit)
      return {ErrorCode::kTooLarge, "texts of " + std::to_string(in.size()) +
                                        " bytes, more than the " + std::to_string(limit) +
                                        " allowed"};
    return std::vector<std::byte>(in.begin(), in.end());
  }

  bool IsIdentity() const override { return !order_ && !swap_ && codecs_.empty(); }
  bool CanEncode() const override {
    return std::all_of(codecs_.begin(), codecs_.end(),
                       [](const auto& codec) { return codec->CanEncode(); });
  }

 private:
  static Error WrongSize(size_t is, int64_t expected) {
    return {ErrorCode::kCorrupt, "a chunk of " + std::to_string(is) + " bytes where " +
                                     std::to_string(expected) + " were expected"};
  }

  Result<int64_t> Size(const Shape& shape) const {
    int64_t size = shape.Elements();
    if (size < 0 || __builtin_mul_overflow(size, static_cast<int64_t>(ItemSize(dtype_)), &size))
      return {ErrorCode::kTooLarge, "the size of a chunk of " + shape.ToString() + " overflows"};
    return size;
  }

  Result<> CheckSize(const Shape& shape, size_t bytes) const {
    ZN_ASSIGN_OR_RETURN(const int64_t size, Size(shape));
    if (static_cast<uint64_t>(size) != bytes)
      return {ErrorCode::kInvalidArgument,
              std::to_string(bytes) + " bytes for a chunk of " + shape.ToString() + " " +
                  std::string(ZarrName(dtype_)) + ", which has " + std::to_string(size)};
    return {};
  }

  Result<> CheckFixed() const {
    if (dtype_ != DType::kJson) return {};
    return {ErrorCode::kInvalidArgument, "texts have no fixed size: use DecodeVariable"};
  }

  Result<> CheckRank(const Shape& shape) const {
    if (!order_ || order_->size() == shape.rank()) return {};
    return {ErrorCode::kInvalidArgument, "codec \"transpose\": orders " +
                                             std::to_string(order_->size()) +
                                             " axes, but a chunk is " + shape.ToString()};
  }

  // The most that the first `steps` codecs make of `size` bytes.
  size_t MaxEncodedSize(size_t steps, size_t size) const {
    for (size_t i = 0; i < steps; ++i)
      size = size > SIZE_MAX / 2 ? SIZE_MAX : codecs_[i]->MaxEncodedSize(size);
    return size;
  }

  // Undoes codec `i`, whose output's size is not known exactly. Others' encoders may make more than
  // ours would.
  Result<std::span<const std::byte>> Peel(size_t i, std::span<const std::byte> in, size_t raw,
                                          ScratchLease& scratch) const {
    auto out =
        codecs_[i]->Decode(in, SaturatingDouble(MaxEncodedSize(i, raw)), scratch->StepFor(in));
    if (!out && out.error().code == ErrorCode::kTooLarge)
      return {ErrorCode::kCorrupt, std::move(out).error().message};
    return out;
  }

  Result<> DecodeArray(std::span<const std::byte> encoded, const Shape& shape,
                       std::span<std::byte> out, ScratchLease& scratch) const {
    if (!order_) {
      ZN_RETURN_IF_ERROR(DecodeBytes(encoded, out, scratch));
    } else {
      const std::span<std::byte> array = scratch->array.Resize(out.size());
      ZN_RETURN_IF_ERROR(DecodeBytes(encoded, array, scratch));
      Shape stored;
      std::array<int64_t, Shape::kMaxRank> back{};
      for (size_t axis = 0; axis < shape.rank(); ++axis) {
        const auto from = static_cast<size_t>((*order_)[axis]);
        stored.Append(shape[from]);
        back[from] = static_cast<int64_t>(axis);
      }
      TransposeArray(array, stored, std::span(back).first(shape.rank()), ItemSize(dtype_), out);
    }
    if (swap_) SwapByteOrder(dtype_, out);
    return {};
  }

  Result<> DecodeBytes(std::span<const std::byte> in, std::span<std::byte> out,
                       ScratchLease& scratch) const {
    for (size_t i = codecs_.size(); i-- > 1;) {
      ZN_ASSIGN_OR_RETURN(in, Peel(i, in, out.size(), scratch));
    }
    if (!codecs_.empty()) return codecs_[0]->DecodeInto(in, out);
    if (in.size() != out.size()) return WrongSize(in.size(), static_cast<int64_t>(out.size()));
    if (!out.empty()) std::memcpy(out.data(), in.data(), out.size());
    return {};
  }

  const DType dtype_;
  const std::optional<std::vector<int64_t>> order_;  // of all transposes together
  const bool swap_;                                  // big-endian, and items of several bytes
  const std::vector<std::unique_ptr<const BytesCodec>> codecs_;
};

MadeCodec MakeBytesCodec(const CodecConfig& config, size_t item_size) {
  if (config.name() == "blosc") return MakeBloscCodec(config, item_size);
  // zarr-python knows those without a specification of their own by the longer names.
  if (config.name() == "zstd" || config.name() == "numcodecs.zstd") return MakeZstdCodec(config);
  if (config.name() == "lz4" || config.name() == "numcodecs.lz4") return MakeLz4Codec(config);
  if (config.name() == "gzip" || config.name() == "numcodecs.gzip") return MakeGzipCodec(config);
  if (config.name() == "zlib" || config.name() == "numcodecs.zlib") return MakeZlibCodec(config);
  if (config.name() == "numcodecs.shuffle") return MakeShuffleCodec(config);
  if (config.name() == "crc32c") return MakeCrc32cCodec(config);
  return config.Invalid("unknown; known: " + std::string(kKnownCodecs));
}

}  // namespace

Result<> AddTranspose(const CodecConfig& config, std::optional<std::vector<int64_t>>& order) {
  ZN_RETURN_IF_ERROR(config.CheckKeys({"order"}));
  ZN_ASSIGN_OR_RETURN(const std::vector<int64_t> axes, config.Integers("order"));
  std::array<bool, Shape::kMaxRank> seen{};
  if (axes.size() > seen.size()) return config.Invalid("more than 8 axes");
  for (int64_t axis : axes) {
    if (axis < 0 || axis >= static_cast<int64_t>(axes.size()) || seen[static_cast<size_t>(axis)])
      return config.Invalid("\"order\" is not a permutation");
    seen[static_cast<size_t>(axis)] = true;
  }
  if (!order) {
    order = axes;
    return {};
  }
  if (order->size() != axes.size()) return config.Invalid("two orders differ in length");
  std::vector<int64_t> both;
  for (int64_t axis : axes) both.push_back((*order)[static_cast<size_t>(axis)]);
  order = std::move(both);
  return {};
}

Result<std::shared_ptr<const CodecPipeline>> MakePlainPipeline(std::span<const CodecConfig> list,
                                                               DType dtype) {
  const bool text = dtype == DType::kJson;
  std::optional<std::vector<int64_t>> order;
  std::vector<std::unique_ptr<const BytesCodec>> steps;
  bool swap = false, is_bytes = false;
  for (const CodecConfig& config : list) {
    if (config.name() == "transpose") {
      if (is_bytes) return config.Invalid("must come before \"bytes\"");
      if (text) return config.Invalid("not for texts");
      ZN_RETURN_IF_ERROR(AddTranspose(config, order));
    } else if (config.name() == "bytes" || config.name() == "vlen-utf8") {
      if (is_bytes) return config.Invalid("a second array -> bytes codec");
      is_bytes = true;
      if (text != (config.name() == "vlen-utf8"))
        return config.Invalid("does not fit dtype " + std::string(ZarrName(dtype)));
      if (text) {
        ZN_RETURN_IF_ERROR(config.CheckKeys({}));
        continue;
      }
      ZN_RETURN_IF_ERROR(config.CheckKeys({"endian"}));
      ZN_ASSIGN_OR_RETURN(const size_t endian, config.Choice("endian", {"little", "big"}, 0));
      if (ItemSize(dtype) > 1 && !config.Has("endian"))
        return config.Invalid("needs \"endian\" for " + std::string(ZarrName(dtype)));
      swap = endian == 1 && ItemSize(dtype) > 1;
    } else {
      // The first step sees elements; those behind it see bytes.
      ZN_ASSIGN_OR_RETURN(auto step, MakeBytesCodec(config, steps.empty() ? ItemSize(dtype) : 1));
      if (!is_bytes)
        return config.Invalid(text ? "must come after \"vlen-utf8\"" : "must come after \"bytes\"");
      steps.push_back(std::move(step));
    }
  }
  if (!is_bytes)
    return {ErrorCode::kInvalidArgument,
            std::string("codecs: the list has no array -> bytes codec (") +
                (text ? "vlen-utf8" : "bytes") + ")"};
  return std::make_shared<const Pipeline>(dtype, std::move(order), swap, std::move(steps));
}

Result<std::shared_ptr<const CodecPipeline>> MakePipeline(std::span<const CodecConfig> list,
                                                          DType dtype,
                                                          std::span<const std::byte> fill) {
  if (!list.empty() && list[0].name() == "sharding_indexed")
    return MakeShardingPipeline(list, dtype, fill);
  if (!list.empty() && list[0].name() == "zn.rounded") return MakeRoundedPipeline(list, dtype);
  const bool layered = std::any_of(list.begin(), list.end(), [](const CodecConfig& config) {
    return IsArrayFilter(config.name()) || config.name() == "sharding_indexed";
  });
  return layered ? MakeFilteredPipeline(list, dtype, fill) : MakePlainPipeline(list, dtype);
}

Result<std::shared_ptr<const CodecPipeline>> CodecPipeline::Create(
    std::string_view codecs, DType dtype, std::span<const std::byte> fill) {
  if (!IsValidDType(static_cast<uint8_t>(dtype)))
    return {ErrorCode::kInvalidArgument, "codecs: unknown dtype"};
  if (!fill.empty() && fill.size() != ItemSize(dtype))
    return {ErrorCode::kInvalidArgument, "codecs: the fill value is not one element"};
  ZN_ASSIGN_OR_RETURN(const std::vector<CodecConfig> list, ParseCodecList(codecs));
  return MakePipeline(list, dtype, fill);
}

}  // namespace zn
