#include "base/bytes.h"
#include "base/check.h"
#include "zn/engine/codec.h"

namespace zn {

std::vector<std::byte> EncodeText(std::span<const std::string> texts) {
  size_t size = sizeof(uint32_t);
  for (const std::string& text : texts) size += sizeof(uint32_t) + text.size();
  ZN_CHECK(texts.size() <= UINT32_MAX);
  std::vector<std::byte> bytes(size);
  std::byte* p = bytes.data();
  const auto put = [&](size_t value) {
    const auto narrow = static_cast<uint32_t>(value);
    std::memcpy(p, &narrow, sizeof narrow);
    p += sizeof narrow;
  };
  put(texts.size());
  for (const std::string& text : texts) {
    ZN_CHECK(text.size() <= UINT32_MAX);
    put(text.size());
    std::memcpy(p, text.data(), text.size());
    p += text.size();
  }
  return bytes;
}

Result<std::vector<std::string_view>> DecodeText(std::span<const std::byte> encoded) {
  ByteReader reader(encoded);
  const auto count = reader.Get<uint32_t>();
  if (!reader.ok() || count > reader.remaining() / sizeof(uint32_t))
    return {ErrorCode::kCorrupt, "vlen-utf8: " + std::to_string(encoded.size()) +
                                     " bytes cannot hold " + std::to_string(count) + " texts"};
  std::vector<std::string_view> texts;
  texts.reserve(count);
  for (uint32_t i = 0; i < count; ++i) {
    texts.push_back(reader.GetString());
    if (!reader.ok())
      return {ErrorCode::kCorrupt, "vlen-utf8: text " + std::to_string(i) + " runs past the end"};
  }
  if (reader.remaining() > 0)
    return {ErrorCode::kCorrupt,
            "vlen-utf8: " + std::to_string(reader.remaining()) + " bytes behind the last text"};
  return texts;
}

}  // namespace zn
