// zn.rounded: chunks of rounded values as whole numbers, bit-packed. Rows stand in groups; each row
// of a group but the first is stored as its difference from the one before, so that a row needs
// those before it in its group and no others. A chunk of values that were not rounded is plain
// blosc behind a header. docs/format.md has the layout, decision 0019 the reasons.
#include <algorithm>
#include <bit>
#include <cstring>
#include <optional>

#include "base/copy.h"
#include "codec/bytes_codec.h"
#include "codec/codec_config.h"
#include "codec/codecs.h"
#include "codec/packed_rows.h"
#include "codec/pipelines.h"
#include "codec/rounded_layout.h"
#include "codec/rounding.h"

namespace zn {
namespace {

// Rows of a group: enough that the first, which is stored as it is, weighs little; with small rows
// as many as make a few thousand values.
constexpr int kMinGroupBits = 3, kMaxGroupBits = 6;
constexpr size_t kGroupValues = 4096;
// One in so many values may be an exception.
constexpr size_t kExceptionShare = 64;
// Offsets have 32 bits.
constexpr size_t kMostBytes = size_t{1} << 30;

Error Corrupt(const char* what) {
  return {ErrorCode::kCorrupt, std::string("zn.rounded: ") + what};
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

template <class T>
class RoundedPipeline final : public CodecPipeline {
  using Int = RoundedInt<T>;
  using UInt = std::make_unsigned_t<Int>;
  using Bits = UInt;
  using Header = RoundedHeader;
  using Kind = RoundedHeader::Kind;

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
    SpanSource source(encoded);
    ZN_ASSIGN_OR_RETURN(const Header header, ReadRoundedHeader(source));
    if (header.kind == Kind::kPlain) return plain_->DecodeInto(encoded.subspan(Header::kSize), out);
    if (shape.rank() == 0) return Corrupt("numbers without rows");
    if (out.empty()) return {};
    return DecodeNumbers(source, header, shape[0], 0, shape[0], out);
  }

  using CodecPipeline::DecodeRows;
  Result<> DecodeRows(ByteSource& source, const Shape& shape, int64_t first, int64_t count,
                      std::span<std::byte> out) const override {
    if (shape.rank() == 0 || first < 0 || count < 0 || first > shape[0] || count > shape[0] - first)
      return Error{ErrorCode::kOutOfRange, "rows beyond a chunk of " + shape.ToString()};
    Shape rows = shape;
    rows[0] = count;
    ZN_RETURN_IF_ERROR(CheckArraySize(rows, kDType, out.size()));
    ZN_ASSIGN_OR_RETURN(const Header header, ReadRoundedHeader(source));
    if (out.empty()) return {};
    if (header.kind == Kind::kRounded)
      return DecodeNumbers(source, header, shape[0], first, count, out);
    int64_t size = shape.Elements();
    if (size < 0 || __builtin_mul_overflow(size, static_cast<int64_t>(sizeof(T)), &size))
      return Error{ErrorCode::kTooLarge,
                   "the size of a chunk of " + shape.ToString() + " overflows"};
    const size_t row_bytes = out.size() / static_cast<size_t>(count);
    TailSource content(source, Header::kSize);
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
    size_t size = Header::kSize;
    for (const auto part : parts) size += part.size();
    std::vector<std::byte> encoded(size);
    WriteRoundedHeader(header, std::span<std::byte, Header::kSize>(encoded.data(), Header::kSize));
    std::byte* at = encoded.data() + Header::kSize;
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
    header.kind = Kind::kRounded;
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
      const bool first = (r & header.row_mask()) == 0;
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

  static Result<> DecodeNumbers(ByteSource& source, const Header& header, int64_t rows,
                                int64_t first, int64_t count, std::span<std::byte> out) {
    ZN_ASSIGN_OR_RETURN(const RoundedParts parts,
                        FetchRoundedParts(source, header, sizeof(T), rows, first, count));
    const size_t row = out.size() / sizeof(T) / static_cast<size_t>(count);
    const int64_t mask = header.row_mask();
    Memory& memory = ThisThread();
    const Trim trim(memory);
    Int* const own = reinterpret_cast<Int*>(memory.numbers.Resize(row * sizeof(Int)).data());
    PackedReader<UInt> reader({});
    for (int64_t r = first & ~mask; r < first + count; ++r) {
      if ((r & mask) == 0) {
        ZN_ASSIGN_OR_RETURN(const auto blocks,
                            parts.Group(static_cast<size_t>(r >> header.group_bits)));
        reader = PackedReader<UInt>(blocks);
      }
      if (!reader.TakeRow(own, row, header.differences && (r & mask) != 0))
        return Corrupt("ends too early");
      if (r >= first)
        PutValues(header.rounding, own, row,
                  out.data() + static_cast<size_t>(r - first) * row * sizeof(T));
    }
    return PutExceptions(header, parts, static_cast<size_t>(rows) * row,
                         static_cast<size_t>(first) * row, static_cast<size_t>(count) * row, out);
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

  /// Those within [first, first + count), of which `out` is; of a chunk of `elements`. All are
  /// looked at, whichever are wanted: so every reading of a damaged chunk says the same.
  static Result<> PutExceptions(const Header& header, const RoundedParts& parts, size_t elements,
                                size_t first, size_t count, std::span<std::byte> out) {
    const auto index = [&](size_t i) -> size_t {
      return LoadAt<uint32_t>(parts.indices.data(), i);
    };
    bool disorder = header.exceptions > 0 && index(header.exceptions - 1) >= elements;
    for (size_t i = 1; i < header.exceptions; ++i) disorder |= index(i - 1) >= index(i);
    if (disorder) return Corrupt("exceptions out of order");
    size_t low = 0, high = header.exceptions;
    while (low < high) {
      const size_t middle = low + (high - low) / 2;
      if (index(middle) < first)
        low = middle + 1;
      else
        high = middle;
    }
    for (; low < header.exceptions && index(low) < first + count; ++low)
      std::memcpy(out.data() + (index(low) - first) * sizeof(T),
                  parts.values.data() + low * sizeof(T), sizeof(T));
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
