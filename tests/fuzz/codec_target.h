// What the targets of single codecs share: a chunk decoded from hostile bytes, or given back from
// its own, whole or a row, or decoded from its own after edits (so that what stands behind a header
// or a checksum is reached too).
#pragma once

#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <memory>
#include <span>
#include <vector>

#include "zn/engine/codec.h"

namespace zn::fuzz {

/// A pipeline under test. Rows have three elements.
struct CodecCase {
  const char* codecs;
  DType dtype;
};

using Bytes = std::vector<std::byte>;
/// Makes a chunk's raw bytes of the input; the size is cut to whole rows afterwards.
using MakeRaw = std::function<Bytes(std::span<const std::byte> input, DType dtype)>;

inline constexpr int64_t kInner = 3;

inline const CodecPipeline& PipelineOf(const CodecCase& c) {
  // One a case for the whole run: parsing JSON each time would take most of it.
  static std::vector<std::pair<const CodecCase*, std::shared_ptr<const CodecPipeline>>> made;
  for (const auto& [known, pipeline] : made)
    if (known == &c) return *pipeline;
  auto pipeline = CodecPipeline::Create(c.codecs, c.dtype);
  if (!pipeline) std::abort();
  made.emplace_back(&c, *pipeline);
  return *made.back().second;
}

/// Decoding ends in an error or fills what was asked for; two rows agree with the whole when both
/// are given. `choice` says which rows.
inline void DecodeAll(const CodecPipeline& pipeline, std::span<const std::byte> encoded,
                      int64_t rows, size_t row_bytes, uint8_t choice) {
  const Shape shape{rows, kInner};
  const size_t size = static_cast<size_t>(rows) * row_bytes;
  // Exactly as large as they may be, so that the sanitizer sees what is beyond.
  const auto out = std::make_unique_for_overwrite<std::byte[]>(size);
  const bool whole = pipeline.Decode(encoded, shape, {out.get(), size}).has_value();
  if (rows < 3) return;
  const auto part = std::make_unique_for_overwrite<std::byte[]>(2 * row_bytes);
  const int64_t first = choice % 2 == 0 ? rows - 2 : 1;
  if (pipeline.DecodeRows(encoded, shape, first, 2, {part.get(), 2 * row_bytes}) && whole &&
      std::memcmp(part.get(), out.get() + static_cast<size_t>(first) * row_bytes, 2 * row_bytes) !=
          0)
    std::abort();
}

inline void ExpectWhole(const CodecPipeline& pipeline, std::span<const std::byte> encoded,
                        const Shape& shape, const Bytes& raw) {
  Bytes out(raw.size());
  if (!pipeline.Decode(encoded, shape, out) || out != raw) std::abort();
}

inline void ExpectRow(const CodecPipeline& pipeline, std::span<const std::byte> encoded,
                      const Shape& shape, const Bytes& raw, int64_t row) {
  const size_t row_bytes = raw.size() / static_cast<size_t>(shape[0]);
  Bytes out(row_bytes);
  if (!pipeline.DecodeRows(encoded, shape, row, 1, out) ||
      std::memcmp(out.data(), raw.data() + static_cast<size_t>(row) * row_bytes, row_bytes) != 0)
    std::abort();
}

/// Input: the case, what to do with the rest, and two bytes (rows, or the number of edits); then
/// the edits of three bytes each (place, value) and the chunk's bytes, encoded or raw. One thing is
/// done with an input, so that there are many of them a second.
inline int FuzzArrayCodec(std::span<const CodecCase> cases, const uint8_t* data, size_t size,
                          const MakeRaw& make_raw = {}) {
  if (size < 4) return 0;
  const CodecCase& c = cases[data[0] % cases.size()];
  const CodecPipeline& pipeline = PipelineOf(c);
  const size_t row_bytes = static_cast<size_t>(kInner) * ItemSize(c.dtype);
  const uint8_t choice = data[1] / 2;
  std::span<const std::byte> input = std::as_bytes(std::span(data + 4, size - 4));
  if (data[1] % 2 == 0) {
    const int64_t rows = (data[2] | data[3] << 8) % 2048;
    const Bytes encoded(input.begin(), input.end());
    DecodeAll(pipeline, encoded, rows, row_bytes, choice);
    return 0;
  }

  const std::span<const std::byte> edits =
      input.first(std::min<size_t>(input.size(), size_t{3} * (data[2] % 8)));
  input = input.subspan(edits.size());
  Bytes raw = make_raw ? make_raw(input, c.dtype) : Bytes(input.begin(), input.end());
  const auto rows = static_cast<int64_t>(raw.size() / row_bytes);
  raw.resize(static_cast<size_t>(rows) * row_bytes);
  const Shape shape{rows, kInner};
  auto encoded = pipeline.Encode(raw, shape);
  if (!encoded) std::abort();
  if (edits.empty() || encoded->empty()) {
    if (choice % 2 == 0 || rows == 0)
      ExpectWhole(pipeline, *encoded, shape, raw);
    else
      ExpectRow(pipeline, *encoded, shape, raw, choice / 2 % rows);
    return 0;
  }
  for (size_t i = 0; i + 3 <= edits.size(); i += 3) {
    const size_t place = std::to_integer<size_t>(edits[i]) | std::to_integer<size_t>(edits[i + 1])
                                                                 << 8;
    (*encoded)[place % encoded->size()] ^= edits[i + 2];
  }
  if (data[3] % 4 == 0)
    encoded->resize(encoded->size() - std::min<size_t>(encoded->size(), data[3] / 4));
  encoded->shrink_to_fit();
  DecodeAll(pipeline, *encoded, rows, row_bytes, choice);
  return 0;
}

}  // namespace zn::fuzz
