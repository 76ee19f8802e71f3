// vlen-utf8 texts, plain and compressed: hostile bytes give an error, texts come back as they were.
#include "tests/fuzz/codec_target.h"

namespace {

constexpr zn::fuzz::CodecCase kCases[] = {
    {R"(["vlen-utf8"])", zn::DType::kJson},
    {R"(["vlen-utf8",{"name":"zstd","configuration":{"level":1}}])", zn::DType::kJson},
    {R"(["vlen-utf8",{"name":"gzip","configuration":{"level":1}},"blosc"])", zn::DType::kJson},
    {R"(["vlen-utf8","lz4","crc32c"])", zn::DType::kJson},
};
constexpr size_t kLimit = 1 << 20;

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size < 2) return 0;
  const zn::CodecPipeline& pipeline = zn::fuzz::PipelineOf(kCases[data[0] % std::size(kCases)]);
  const std::span<const std::byte> input = std::as_bytes(std::span(data + 2, size - 2));
  if (data[1] % 2 == 0) {
    const zn::fuzz::Bytes encoded(input.begin(), input.end());
    if (const auto decoded = pipeline.DecodeVariable(encoded, kLimit)) {
      if (decoded->size() > kLimit) std::abort();
      (void)zn::DecodeText(*decoded);
    }
    return 0;
  }
  // Texts are what stands between bytes of zero; the second byte's other bits say what is damaged
  // afterwards.
  std::vector<std::string> texts(1);
  for (const std::byte b : input) {
    if (b == std::byte{})
      texts.emplace_back();
    else
      texts.back() += static_cast<char>(b);
  }
  const zn::fuzz::Bytes raw = zn::EncodeText(texts);
  auto encoded = pipeline.Encode(raw, zn::Shape{static_cast<int64_t>(texts.size())});
  if (!encoded) std::abort();
  const auto decoded = pipeline.DecodeVariable(*encoded, raw.size());
  if (!decoded || *decoded != raw) std::abort();
  const auto views = zn::DecodeText(*decoded);
  if (!views || !std::equal(views->begin(), views->end(), texts.begin(), texts.end())) std::abort();
  (*encoded)[(data[1] >> 1) * encoded->size() / 128] ^= std::byte{0x21};
  if (const auto damaged = pipeline.DecodeVariable(*encoded, kLimit))
    (void)zn::DecodeText(*damaged);
  return 0;
}
