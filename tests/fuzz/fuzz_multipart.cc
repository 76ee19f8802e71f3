// Uploads as multipart/form-data: a Content-Type, an end of line, a body. The part lies within the body and holds no boundary.
#include <cstdlib>
#include <string>
#include <string_view>

#include "api/multipart.h"

namespace {
void Check(bool good) {
  if (!good) std::abort();
}
}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  const size_t line = text.find('\n');
  const auto boundary = zn::server::MultipartBoundary(text.substr(0, line));
  if (!boundary || line == text.npos) return 0;
  const std::string_view body = text.substr(line + 1);
  const auto part = zn::server::FindPart(body, *boundary, "file");
  if (!part || part->empty()) return 0;
  Check(part->data() >= body.data() && part->data() + part->size() <= body.data() + body.size());
  Check(part->find("\r\n--" + std::string(*boundary)) == part->npos);
  return 0;
}
