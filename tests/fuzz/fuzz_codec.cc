// Encoded bytes from anywhere: decoding them ends in an error or in exactly the bytes asked for.
#include <cstdint>
#include <cstdlib>
#include <vector>

#include "zn/engine/codec.h"

namespace {

constexpr const char* kLists[] = {
    R"(["bytes",{"name":"blosc","configuration":{"cname":"lz4","shuffle":"shuffle"}}])",
    R"(["bytes",{"name":"blosc","configuration":{"cname":"zstd","shuffle":"bitshuffle"}},"crc32c"])",
    R"(["bytes","zstd"])",
    R"(["bytes","lz4"])",
    R"(["bytes","gzip"])",
    R"(["bytes","crc32c"])",
    R"([{"name":"transpose","configuration":{"order":[1,0]}},"bytes","gzip","lz4","zstd"])",
    R"(["bytes"])",
};
constexpr const char* kTextLists[] = {
    R"(["vlen-utf8"])",
    R"(["vlen-utf8","zstd"])",
    R"(["vlen-utf8","gzip","blosc"])",
    R"(["vlen-utf8","lz4"])",
};

}  // namespace

// The first three bytes choose the pipeline and the number of rows of four bytes.
extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size < 3) return 0;
  // Copied, so that the sanitizer sees reads beyond the end.
  const auto* begin = reinterpret_cast<const std::byte*>(data);
  const std::vector<std::byte> encoded(begin + 3, begin + size);
  const auto rows = static_cast<int64_t>(data[1] | data[2] << 8);
  const zn::Shape shape{rows, 4};

  const auto pipeline =
      zn::CodecPipeline::Create(kLists[data[0] % std::size(kLists)], zn::DType::kUInt8);
  if (!pipeline) std::abort();
  std::vector<std::byte> out(static_cast<size_t>(4 * rows));
  (void)(*pipeline)->Decode(encoded, shape, out);
  if (rows >= 3) {
    std::vector<std::byte> part(8);
    (void)(*pipeline)->DecodeRows(encoded, shape, rows - 2, 2, part);
    (void)(*pipeline)->DecodeRows(encoded, shape, 1, 2, part);
  }

  const auto text =
      zn::CodecPipeline::Create(kTextLists[data[0] % std::size(kTextLists)], zn::DType::kJson);
  if (!text) std::abort();
  constexpr size_t kLimit = 1 << 20;
  if (const auto decoded = (*text)->DecodeVariable(encoded, kLimit)) {
    if (decoded->size() > kLimit) std::abort();
    (void)zn::DecodeText(*decoded);
  }
  return 0;
}
