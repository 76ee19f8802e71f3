// zn.rounded: chunks of rounded values as whole numbers, bit-packed. Rows stand in groups; each row
// of a group but the first is stored as its difference from the one before, so that a row needs
// those before it in its group and no others. A chunk of values that were not rounded is plain
// blosc behind a header. docs/format.md has the layout, decision 0019 the reasons.
#include <algorithm>
#include <bit>
#include <cstring>
#include <optional>

#include "base/bytes.h"
#include "base/copy.h"
#include "codec/bit_packing.h"
#include "codec/bytes_codec.h"
#include "codec/codec_config.h"
#include "codec/codecs.h"
#include "codec/pipelines.h"
#include "codec/rounding.h"

namespace zn {
namespace {

constexpr uint8_t kPlain = 0, kRounded = 1;
constexpr size_t kHeaderSize = 32;
// Rows of a group: enough that the first, which is stored as it is, weighs little; with small rows
// as many as make a few thousand values.
constexpr int kMinGroupBits = 3, kMaxGroupBits = 6;
constexpr size_t kGroupValues = 4096;
// One in so many values may be an exception.
constexpr size_t kExceptionShare = 64;
// Offsets have 32 bits.
constexpr size_t kMostBytes = size_t{1} << 30;

Error Corrupt(const std::string& what) { return {ErrorCode::kCorrupt, "zn.rounded: " + what}; }

/// Differences of either sign as small unsigned numbers, so that the high bits are zeros.
template <class Int>
auto ZigZag(Int value) {
  using U = std::make_unsigned_t<Int>;
  return static_cast<U>((static_cast<U>(value) << 1) ^
                        static_cast<U>(value >> (8 * sizeof(Int) - 1)));
}
template <class U>
U UnZigZag(U code) {
  return (code >> 1) ^ (U{0} - (code & 1));
}

template <class T>
T LoadAt(const std::byte* p, size_t i) {
  T value;
  std::memcpy(&value, p + i * sizeof(T), sizeof value);
  return value;
}
template <class T>
void StoreAt(std::byte* p, size_t i, T value) {
  std::memcpy(p + i * sizeof(T), &value, sizeof value);
}

/// What stands before the numbers, or before blosc's buffer.
struct Header {
  uint8_t kind = kPlain;
  Rounding rounding;
  uint8_t group_bits = 0;
  bool differences = false;
  uint32_t exceptions = 0;
  std::span<const std::byte> offsets, indices, values, content;

  size_t Groups(int64_t rows) const {
    return (static_cast<size_t>(rows) + (size_t{1} << group_bits) - 1) >> group_bits;
  }
};

Result<Header> ReadHeader(std::span<const std::byte> encoded, size_t item_size,
                          const Shape& shape) {
  Header header;
  ByteReader in(encoded);
  header.kind = in.Get<uint8_t>();
  const auto first = in.Get<uint8_t>(), then = in.Get<uint8_t>();
  header.group_bits = in.Get<uint8_t>();
  header.exceptions = in.Get<uint32_t>();
  header.rounding.a = in.Get<double>();
  header.rounding.b = in.Get<double>();
  header.differences = in.Get<uint64_t>() != 0;
  if (!in.ok()) return Corrupt("shorter than its header");
  if (header.kind == kPlain) {
    header.content = encoded.subspan(kHeaderSize);
    return header;
  }
  if (header.kind != kRounded || first > 3 || then > 2 || header.group_bits > 31 ||
      shape.rank() == 0)
    return Corrupt("an unknown layout");
  header.rounding.first = static_cast<Rounding::First>(first);
  header.rounding.then = static_cast<Rounding::Then>(then);
  // Products of lengths claimed stay far from overflow: each is checked against what is left first.
  const size_t groups = header.Groups(shape[0]);
  if (groups > in.remaining() / sizeof(uint32_t)) return Corrupt("shorter than its offsets");
  header.offsets = in.GetBytes(groups * sizeof(uint32_t));
  if (header.exceptions > in.remaining() / (sizeof(uint32_t) + item_size))
    return Corrupt("shorter than its exceptions");
  header.indices = in.GetBytes(header.exceptions * sizeof(uint32_t));
  header.values = in.GetBytes(header.exceptions * item_size);
  header.content = in.GetBytes(in.remaining());
  return header;
}

void WriteHeader(const Header& header, std::span<std::byte, kHeaderSize> out) {
  std::fill(out.begin(), out.end(), std::byte{});
  out[0] = std::byte{header.kind};
  out[1] = static_cast<std::byte>(header.rounding.first);
  out[2] = static_cast<std::byte>(header.rounding.then);
  out[3] = std::byte{header.group_bits};
  std::memcpy(out.data() + 4, &header.exceptions, sizeof header.exceptions);
  std::memcpy(out.data() + 8, &header.rounding.a, sizeof header.rounding.a);
  std::memcpy(out.data() + 16, &header.rounding.b, sizeof header.rounding.b);
  out[24] = std::byte{header.differences};
}

/// Packs numbers one after the other.
template <class U>
class PackedWriter {
 public:
  /// REQUIRES: room for all blocks at `out`.
  explicit PackedWriter(std::byte* out) : begin_(out), at_(out) {}

  /// ZigZag(own - before) of a row; `before` may be nullptr for zeros.
  template <class Int>
  void PutRow(const Int* own, const Int* before, size_t row) {
    for (size_t i = 0; i < row;) {
      const size_t take = std::min(row - i, kPackedBlock - staged_);
      U* const to = stage_ + staged_;
      if (before == nullptr)
        for (size_t j = 0; j < take; ++j) to[j] = ZigZag(own[i + j]);
      else
        for (size_t j = 0; j < take; ++j)
          to[j] =
              ZigZag(static_cast<Int>(static_cast<U>(own[i + j]) - static_cast<U>(before[i + j])));
      i += take;
      staged_ += take;
      if (staged_ == kPackedBlock) Flush();
    }
  }
  /// The next number begins a block.
  void EndGroup() {
    if (staged_ == 0) return;
    std::fill(stage_ + staged_, stage_ + kPackedBlock, U{0});
    Flush();
  }
  size_t size() const { return static_cast<size_t>(at_ - begin_); }

 private:
  void Flush() {
    at_ += PackBlock(stage_, at_);
    staged_ = 0;
  }

  std::byte* const begin_;
  std::byte* at_;
  U stage_[kPackedBlock];
  size_t staged_ = 0;
};

/// Gives back what PackedWriter was given, from the begin of a group on.
template <class U>
class PackedReader {
 public:
  explicit PackedReader(std::span<const std::byte> in) : in_(in) {}

  /// Adds a row of differences to `own`, or replaces it. False when the bytes end before.
  template <class Int>
  bool TakeRow(Int* own, size_t row, bool add) {
    for (size_t i = 0; i < row;) {
      if (used_ == kPackedBlock) {
        const size_t size = UnpackBlock(in_, stage_);
        if (size == 0) return false;
        in_ = in_.subspan(size);
        used_ = 0;
      }
      const size_t take = std::min(row - i, kPackedBlock - used_);
      const U* const from = stage_ + used_;
      if (add)
        for (size_t j = 0; j < take; ++j)
          own[i + j] = static_cast<Int>(static_cast<U>(own[i + j]) + UnZigZag(from[j]));
      else
        for (size_t j = 0; j < take; ++j) own[i + j] = static_cast<Int>(UnZigZag(from[j]));
      i += take;
      used_ += take;
    }
    return true;
  }

 private:
  std::span<const std::byte> in_;
  U stage_[kPackedBlock];
  size_t used_ = kPackedBlock;
};

template <class T>
class RoundedPipeline final : public CodecPipeline {
  using Int = RoundedInt<T>;
  using UInt = std::make_unsigned_t<Int>;
  using Bits = UInt;

 public:
  explicit RoundedPipeline(std::unique_ptr<const BytesCodec> plain) : plain_(std::move(plain)) {}

  Result<std::vector<std::byte>> Encode(std::span<const std::byte> raw,
                                        const Shape& shape) const override {
    ZN_RETURN_IF_ERROR(CheckArraySize(shape, kDType, raw.size()));
    Memory& memory = ThisThread();
    const Trim trim(memory);
    if (auto encoded = TryRounded(raw, shape, memory)) return std::move(*encoded);
    ZN_RETURN_IF_ERROR(plain_->Encode(raw, memory.encoded));
    return Join(Header{}, {memory.encoded.bytes()});
  }

  Result<> Decode(std::span<const std::byte> encoded, const Shape& shape,
                  std::span<std::byte> out) const override {
    ZN_RETURN_IF_ERROR(CheckArraySize(shape, kDType, out.size()));
    ZN_ASSIGN_OR_RETURN(const Header header, ReadHeader(encoded, sizeof(T), shape));
    if (header.kind == kPlain) return plain_->DecodeInto(header.content, out);
    return DecodeNumbers(header, 0, shape[0], out);
  }

  using CodecPipeline::DecodeRows;
  Result<> DecodeRows(ByteSource& source, const Shape& shape, int64_t first, int64_t count,
                      std::span<std::byte> out) const override {
    if (shape.rank() == 0 || first < 0 || count < 0 || first > shape[0] || count > shape[0] - first)
      return Error{ErrorCode::kOutOfRange, "rows beyond a chunk of " + shape.ToString()};
    Shape rows = shape;
    rows[0] = count;
    ZN_RETURN_IF_ERROR(CheckArraySize(rows, kDType, out.size()));
    ZN_ASSIGN_OR_RETURN(const auto encoded, source.Fetch(0, source.size()));
    ZN_ASSIGN_OR_RETURN(const Header header, ReadHeader(encoded, sizeof(T), shape));
    if (out.empty()) return {};
    if (header.kind == kRounded) return DecodeNumbers(header, first, count, out);
    int64_t size = shape.Elements();
    if (size < 0 || __builtin_mul_overflow(size, static_cast<int64_t>(sizeof(T)), &size))
      return Error{ErrorCode::kTooLarge,
                   "the size of a chunk of " + shape.ToString() + " overflows"};
    const size_t row_bytes = out.size() / static_cast<size_t>(count);
    SpanSource content(header.content);
    return plain_->DecodeRange(content, static_cast<size_t>(size),
                               static_cast<size_t>(first) * row_bytes, out);
  }

  Result<std::vector<std::byte>> DecodeVariable(std::span<const std::byte>, size_t) const override {
    return Error{ErrorCode::kInvalidArgument, "rounded chunks have a fixed size: use Decode"};
  }
  bool IsIdentity() const override { return false; }
  bool CanEncode() const override { return true; }

 private:
  static constexpr DType kDType = sizeof(T) == 4 ? DType::kFloat32 : DType::kFloat64;

  // Kept by each thread between calls, as the plain pipeline does.
  struct Memory {
    Scratch numbers, encoded;
  };
  static Memory& ThisThread() {
    thread_local Memory memory;
    return memory;
  }
  class Trim {
   public:
    explicit Trim(Memory& memory) : memory_(memory) {}
    ~Trim() {
      memory_.numbers.Trim(4 << 20);
      memory_.encoded.Trim(4 << 20);
    }
    Trim(const Trim&) = delete;
    Trim& operator=(const Trim&) = delete;

   private:
    Memory& memory_;
  };

  static Bits FillBits() {
    T fill;
    WriteFillValue(kDType, reinterpret_cast<std::byte*>(&fill));
    return std::bit_cast<Bits>(fill);
  }

  static std::vector<std::byte> Join(const Header& header,
                                     std::initializer_list<std::span<const std::byte>> parts) {
    size_t size = kHeaderSize;
    for (const auto part : parts) size += part.size();
    std::vector<std::byte> encoded(size);
    WriteHeader(header, std::span<std::byte, kHeaderSize>(encoded.data(), kHeaderSize));
    std::byte* at = encoded.data() + kHeaderSize;
    for (const auto part : parts) {
      CopyBytes(at, part.data(), part.size());
      at += part.size();
    }
    return encoded;
  }

  // ---- encoding ----

  /// Numbers of a row into `numbers`; false when a value has none. Those then hold the parent's.
  static bool RowNumbers(const Rounding& rounding, const std::byte* in, size_t row, Int* numbers) {
    const double per_unit = NumbersPerUnit(rounding), a = rounding.a, b = rounding.b;
    const Bits fill = FillBits();
    return WithRounding(rounding, [&]<Rounding::First kFirst, Rounding::Then kThen>() {
      Bits wrong = 0;
      for (size_t i = 0; i < row; ++i) {
        const auto bits = LoadAt<Bits>(in, i);
        const Int number = NearestNumber<T>(static_cast<double>(std::bit_cast<T>(bits)) * per_unit);
        const auto again = std::bit_cast<Bits>(ValueOf<T, kFirst, kThen>(number, a, b));
        const bool is_fill = bits == fill;
        wrong |= (is_fill ? Bits{0} : again ^ bits) |
                 static_cast<Bits>(!is_fill && number == kFillNumber<T>);
        numbers[i] = is_fill ? kFillNumber<T> : number;
      }
      return wrong == 0;
    });
  }

  struct Exceptions {
    std::vector<uint32_t> indices;
    std::vector<T> values;
  };

  /// Finds what RowNumbers could not represent; `parent` gives the numbers that cost nothing.
  static void TakeExceptions(const Rounding& rounding, const std::byte* in, size_t row,
                             size_t first_index, const Int* parent, Int* numbers,
                             Exceptions& exceptions) {
    const Bits fill = FillBits();
    WithRounding(rounding, [&]<Rounding::First kFirst, Rounding::Then kThen>() {
      for (size_t i = 0; i < row; ++i) {
        const auto bits = LoadAt<Bits>(in, i);
        if (bits == fill) continue;
        const auto again =
            std::bit_cast<Bits>(ValueOf<T, kFirst, kThen>(numbers[i], rounding.a, rounding.b));
        if (again == bits && numbers[i] != kFillNumber<T>) continue;
        exceptions.indices.push_back(static_cast<uint32_t>(first_index + i));
        exceptions.values.push_back(std::bit_cast<T>(bits));
        numbers[i] = parent != nullptr ? parent[i] : 0;
      }
    });
  }

  /// Whether rows are closer to the ones before than to zero, by a few of them.
  static bool ChooseDifferences(const Rounding& rounding, std::span<const std::byte> raw,
                                int64_t rows, size_t row) {
    constexpr int64_t kRows = 8;
    constexpr size_t kValues = 512;
    const double per_unit = NumbersPerUnit(rounding);
    uint64_t alone = 0, apart = 0;
    const int64_t step = std::max<int64_t>(1, (rows - 1) / kRows);
    for (int64_t r = 1; r < rows; r += step) {
      const std::byte* const at = raw.data() + static_cast<size_t>(r) * row * sizeof(T);
      for (size_t i = 0; i < std::min(row, kValues); ++i) {
        const auto number = NearestNumber<T>(static_cast<double>(LoadAt<T>(at, i)) * per_unit);
        const auto before =
            NearestNumber<T>(static_cast<double>(LoadAt<T>(at - row * sizeof(T), i)) * per_unit);
        alone += static_cast<uint64_t>(std::bit_width(ZigZag(number)));
        apart += static_cast<uint64_t>(std::bit_width(
            ZigZag(static_cast<Int>(static_cast<UInt>(number) - static_cast<UInt>(before)))));
      }
    }
    return apart < alone;
  }

  /// nullopt when the values were not rounded, or when that saves nothing.
  std::optional<std::vector<std::byte>> TryRounded(std::span<const std::byte> raw,
                                                   const Shape& shape, Memory& memory) const {
    const size_t elements = raw.size() / sizeof(T);
    if (shape.rank() == 0 || elements == 0 || raw.size() > kMostBytes) return std::nullopt;
    const auto rounding = FindRounding<T>(raw);
    if (!rounding) return std::nullopt;
    const int64_t rows = shape[0];
    const size_t row = elements / static_cast<size_t>(rows);
    Header header;
    header.kind = kRounded;
    header.rounding = *rounding;
    header.differences = ChooseDifferences(*rounding, raw, rows, row);
    const int small = static_cast<int>(std::bit_width(kGroupValues / row)) - 1;
    header.group_bits = static_cast<uint8_t>(
        std::clamp(small, header.differences ? kMinGroupBits : 0, kMaxGroupBits));

    const size_t groups = header.Groups(rows), blocks = elements / kPackedBlock + groups;
    std::byte* const packed =
        memory.encoded.Resize(blocks * kMaxPackedSize<UInt> + kPackingSlack).data();
    Int* own = reinterpret_cast<Int*>(memory.numbers.Resize(2 * row * sizeof(Int)).data());
    Int* before = own + row;
    PackedWriter<UInt> writer(packed);
    std::vector<uint32_t> offsets;
    Exceptions exceptions;
    for (int64_t r = 0; r < rows; ++r) {
      const bool first = (r & ((int64_t{1} << header.group_bits) - 1)) == 0;
      if (first) {
        writer.EndGroup();
        offsets.push_back(static_cast<uint32_t>(writer.size()));
      }
      const Int* const parent = first || !header.differences ? nullptr : before;
      const size_t index = static_cast<size_t>(r) * row;
      const std::byte* const in = raw.data() + index * sizeof(T);
      if (!RowNumbers(*rounding, in, row, own)) {
        TakeExceptions(*rounding, in, row, index, parent, own, exceptions);
        if (exceptions.indices.size() > elements / kExceptionShare) return std::nullopt;
      }
      writer.PutRow(own, parent, row);
      std::swap(own, before);
    }
    writer.EndGroup();
    if (writer.size() > raw.size() - raw.size() / 8) return std::nullopt;
    std::memset(packed + writer.size(), 0, kPackingSlack);
    header.exceptions = static_cast<uint32_t>(exceptions.indices.size());
    return Join(header, {std::as_bytes(std::span(offsets)),
                         std::as_bytes(std::span(exceptions.indices)),
                         std::as_bytes(std::span(exceptions.values)),
                         {packed, writer.size() + kPackingSlack}});
  }

  // ---- decoding ----

  static Result<> DecodeNumbers(const Header& header, int64_t first, int64_t count,
                                std::span<std::byte> out) {
    if (out.empty()) return {};
    const size_t row = out.size() / sizeof(T) / static_cast<size_t>(count);
    const int64_t mask = (int64_t{1} << header.group_bits) - 1;
    Memory& memory = ThisThread();
    const Trim trim(memory);
    Int* const own = reinterpret_cast<Int*>(memory.numbers.Resize(row * sizeof(Int)).data());
    PackedReader<UInt> reader({});
    for (int64_t r = first & ~mask; r < first + count; ++r) {
      if ((r & mask) == 0) {
        const auto offset =
            LoadAt<uint32_t>(header.offsets.data(), static_cast<size_t>(r >> header.group_bits));
        if (offset > header.content.size()) return Corrupt("a group lies beyond the end");
        reader = PackedReader<UInt>(header.content.subspan(offset));
      }
      if (!reader.TakeRow(own, row, header.differences && (r & mask) != 0))
        return Corrupt("ends too early");
      if (r >= first)
        PutValues(header.rounding, own, row,
                  out.data() + static_cast<size_t>(r - first) * row * sizeof(T));
    }
    return PutExceptions(header, static_cast<size_t>(first) * row, static_cast<size_t>(count) * row,
                         out);
  }

  static void PutValues(const Rounding& rounding, const Int* own, size_t row, std::byte* out) {
    const Bits fill = FillBits();
    const double a = rounding.a, b = rounding.b;
    WithRounding(rounding, [&]<Rounding::First kFirst, Rounding::Then kThen>() {
      for (size_t i = 0; i < row; ++i) {
        const auto bits = std::bit_cast<Bits>(ValueOf<T, kFirst, kThen>(own[i], a, b));
        StoreAt<Bits>(out, i, own[i] == kFillNumber<T> ? fill : bits);
      }
    });
  }

  /// Those within [first, first + count), of which `out` is.
  static Result<> PutExceptions(const Header& header, size_t first, size_t count,
                                std::span<std::byte> out) {
    const auto index = [&](size_t i) { return LoadAt<uint32_t>(header.indices.data(), i); };
    size_t low = 0, high = header.exceptions;
    while (low < high) {
      const size_t middle = low + (high - low) / 2;
      if (index(middle) < first)
        low = middle + 1;
      else
        high = middle;
    }
    for (; low < header.exceptions; ++low) {
      const size_t at = index(low);
      if (at >= first + count) break;
      if (at < first || (low > 0 && at <= index(low - 1)))
        return Corrupt("exceptions out of order");
      std::memcpy(out.data() + (at - first) * sizeof(T), header.values.data() + low * sizeof(T),
                  sizeof(T));
    }
    return {};
  }

  const std::unique_ptr<const BytesCodec> plain_;
};

template <class T>
MadePipeline Make(DType dtype) {
  // What is not rounded is stored as it would be by default, behind a header.
  ZN_ASSIGN_OR_RETURN(const std::vector<CodecConfig> list, ParseCodecList(DefaultCodecs(dtype)));
  ZN_ASSIGN_OR_RETURN(auto plain, MakeBloscCodec(list.back(), sizeof(T)));
  return std::make_shared<const RoundedPipeline<T>>(std::move(plain));
}

}  // namespace

MadePipeline MakeRoundedPipeline(std::span<const CodecConfig> list, DType dtype) {
  ZN_RETURN_IF_ERROR(list[0].CheckKeys({}));
  if (list.size() > 1) return list[1].Invalid("behind \"zn.rounded\", which stands alone");
  if (dtype == DType::kFloat32) return Make<float>(dtype);
  if (dtype == DType::kFloat64) return Make<double>(dtype);
  return list[0].Invalid("for float32 and float64, not " + std::string(ZarrName(dtype)));
}

}  // namespace zn
