// Bodies of writes in JSON: what is taken as MessagePack must be that, and print as the same JSON values again.
#include <cstdint>
#include <cstdlib>
#include <nlohmann/json.hpp>
#include <string_view>

#include "api/decode_delta.h"
#include "api/decode_json.h"
#include "api/json_body.h"
#include "http/body.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace zn::server;  // NOLINT
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  (void)ParseObject(text);
  auto msgpack = JsonToMsgpack(text);
  if (!msgpack) return 0;
  if (msgpack->size() > 9 * size + 9) std::abort();
  msgpack::Reader reader(*msgpack);
  std::string printed;
  if (!msgpack::AppendJson(reader, printed) || !reader.done()) std::abort();
  const auto before = nlohmann::json::parse(text, nullptr, false), after = nlohmann::json::parse(printed, nullptr, false);
  // Of keys given twice the last counts in both.
  if (before != after) std::abort();
  const zn::Buffer body = BufferOf(*msgpack);
  FrameListReader list(body, {true});
  if (auto frames = list.Next(SIZE_MAX)) (void)FitFrames(std::move(*frames), {});
  (void)ReadDelta(body, {true});
  return 0;
}
