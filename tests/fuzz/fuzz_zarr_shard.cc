// Shards from anywhere: decoding them ends in an error or in exactly the elements asked for, whole
// or by rows. The first byte chooses the index's form and whether shards hold shards.
#include <array>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <string>
#include <vector>

#include "zn/engine/codec.h"
#include "zn/engine/shard.h"

namespace {

std::string ShardList(const std::string& chunk, const std::string& codecs, bool checked,
                      bool at_end) {
  return R"([{"name":"sharding_indexed","configuration":{"chunk_shape":)" + chunk +
         R"(,"codecs":)" + codecs +
         R"(,"index_codecs":[{"name":"bytes","configuration":{"endian":"little"}})" +
         (checked ? R"(,"crc32c")" : "") + R"(],"index_location":")" + (at_end ? "end" : "start") +
         R"("}}])";
}

/// One a choice for the whole run: parsing JSON each time would take most of it.
const zn::CodecPipeline* PipelineOf(uint8_t choice) {
  static std::array<std::shared_ptr<const zn::CodecPipeline>, 16> made;
  auto& pipeline = made[choice % made.size()];
  if (pipeline != nullptr) return pipeline.get();
  const bool checked = (choice & 1) != 0, at_end = (choice & 2) != 0;
  const char* inner = (choice & 4) != 0 ? R"(["bytes","gzip"])" : R"(["bytes"])";
  std::string list = ShardList("[2,3]", inner, checked, at_end);
  if ((choice & 8) != 0) list = ShardList("[4,6]", list, checked, at_end);
  auto created = zn::CodecPipeline::Create(list, zn::DType::kUInt8);
  if (!created) std::abort();
  pipeline = *created;
  return pipeline.get();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size < 1) return 0;
  const uint8_t choice = data[0];
  const zn::CodecPipeline* pipeline = PipelineOf(choice);
  const zn::Shape shape{8, 6};
  const auto* begin = reinterpret_cast<const std::byte*>(data) + 1;
  const std::vector<std::byte> shard(begin, begin + size - 1);
  std::vector<std::byte> whole(48), rows(18);
  const bool good = pipeline->Decode(shard, shape, whole).has_value();
  const bool good_rows = pipeline->DecodeRows(shard, shape, 1, 3, rows).has_value();
  // What is wrong in rows that are not wanted need not be noticed; but what is right as a whole is
  // right in parts.
  if (good && (!good_rows || std::memcmp(whole.data() + 6, rows.data(), rows.size()) != 0))
    std::abort();
  return 0;
}
