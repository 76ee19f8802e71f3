// Bodies of writes in MessagePack: maps of frames and columns, against a room with fields of every kind.
#include <cstdint>
#include <cstdlib>
#include <span>

#include "api/decode_delta.h"
#include "api/decode_frames.h"

namespace {

using namespace zn;  // NOLINT
using namespace zn::server;  // NOLINT

void Check(bool good) {
  if (!good) std::abort();
}

std::vector<FieldDescriptor> Fields() {
  std::vector<FieldDescriptor> fields;
  const auto add = [&](const char* name, FieldKind kind, DType dtype, Shape inner) {
    FieldDescriptor field;
    field.name = name;
    field.kind = kind;
    field.dtype = dtype;
    field.inner = inner;
    fields.push_back(field);
  };
  add("arrays.positions", FieldKind::kAtom, DType::kFloat32, Shape{3});
  add("calc.energy", FieldKind::kFrame, DType::kFloat16, Shape{});
  add("connectivity", FieldKind::kRagged, DType::kInt32, Shape{2});
  add("info.c", FieldKind::kFrame, DType::kComplex64, Shape{2});
  add("info.text", FieldKind::kFrame, DType::kJson, Shape{});
  return fields;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  static const std::vector<FieldDescriptor> fields = Fields();
  const Buffer body = Buffer::Copy(std::as_bytes(std::span(data, size)));
  const std::string_view text(reinterpret_cast<const char*>(body.data()), body.size());
  FitOptions options;
  for (const bool known : {false, true}) {
    options.fields = known ? std::span<const FieldDescriptor>(fields) : std::span<const FieldDescriptor>();
    options.cast = known;
    FrameListReader list(body, {known});
    if (auto frames = list.Next(SIZE_MAX)) {
      if (auto batch = FitFrames(std::move(*frames), options)) {
        auto valid = ValidateBatch(*batch);
        // Names are checked by the engine alone.
        Check(valid || valid.error().code == ErrorCode::kInvalidArgument);
      }
    }
    msgpack::Reader reader(text);
    if (auto columns = ReadColumns(reader, body, options)) {
      auto valid = ValidateBatch(columns->batch);
      Check(valid || valid.error().code == ErrorCode::kInvalidArgument);
    }
    (void)ReadDelta(body, {known});
  }
  // A value has one end, whether it is skipped or scanned in pieces.
  msgpack::Reader reader(text);
  if (reader.Skip()) {
    msgpack::Scanner scanner;
    size_t at = 0;
    for (bool done = false; !done;) {
      Check(at < size);
      size_t used = 0;
      auto fed = scanner.Feed(text.substr(at, 7), &used);
      Check(fed.has_value());
      at += used;
      done = *fed;
    }
    Check(at == reader.offset());
  }
  return 0;
}
