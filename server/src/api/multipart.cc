#include "api/multipart.h"

#include "http/request.h"

namespace zn::server {
namespace {

// A parameter of a header's value: name=token or name="quoted".
std::optional<std::string_view> FindParameter(std::string_view value, std::string_view name) {
  while (true) {
    const size_t semicolon = value.find(';');
    if (semicolon == value.npos) return std::nullopt;
    value = Trim(value.substr(semicolon + 1));
    const size_t equals = value.find('=');
    if (equals == value.npos) return std::nullopt;
    const bool ours = EqualsIgnoreCase(Trim(value.substr(0, equals)), name);
    std::string_view rest = Trim(value.substr(equals + 1));
    if (!rest.empty() && rest.front() == '"') {
      const size_t end = rest.find('"', 1);
      if (end == rest.npos) return std::nullopt;
      if (ours) return rest.substr(1, end - 1);
      value = rest.substr(end + 1);
    } else {
      if (ours) return Trim(rest.substr(0, rest.find(';')));
      value = rest;
    }
  }
}

Error Malformed(const char* what) {
  return {ErrorCode::kInvalidArgument, std::string("the multipart body is malformed: ") + what};
}

}  // namespace

std::optional<std::string_view> MultipartBoundary(std::string_view content_type) {
  if (!EqualsIgnoreCase(Trim(content_type.substr(0, content_type.find(';'))), "multipart/form-data")) return std::nullopt;
  const auto boundary = FindParameter(content_type, "boundary");
  return boundary.value_or(std::string_view());
}

Result<std::string_view> FindPart(std::string_view body, std::string_view boundary, std::string_view name) {
  if (boundary.empty() || boundary.size() > 70) return Malformed("no boundary of 1 to 70 characters");
  const std::string delimiter = "\r\n--" + std::string(boundary);
  // The first delimiter may stand at the very front.
  size_t at = 0;
  if (body.substr(0, delimiter.size() - 2) == std::string_view(delimiter).substr(2)) {
    at = delimiter.size() - 2;
  } else {
    at = body.find(delimiter);
    if (at == body.npos) return Malformed("its boundary does not occur");
    at += delimiter.size();
  }
  while (body.substr(at, 2) != "--") {
    const size_t line_end = body.find("\r\n", at);
    if (line_end == body.npos || !Trim(body.substr(at, line_end - at)).empty()) return Malformed("text behind a boundary");
    size_t head = line_end + 2;
    bool ours = false;
    for (;;) {
      const size_t end = body.find("\r\n", head);
      if (end == body.npos || end - head > 16384) return Malformed("a part's head does not end");
      const std::string_view line = body.substr(head, end - head);
      head = end + 2;
      if (line.empty()) break;
      const size_t colon = line.find(':');
      if (colon == line.npos) return Malformed("a header without colon");
      if (EqualsIgnoreCase(Trim(line.substr(0, colon)), "content-disposition"))
        ours = FindParameter(line.substr(colon + 1), "name") == name;
    }
    // An empty part's delimiter follows its head at once.
    const size_t from = head - 2;
    const size_t end = body.find(delimiter, from);
    if (end == body.npos) return Malformed("a part does not end");
    if (ours) return end <= head ? std::string_view() : body.substr(head, end - head);
    at = end + delimiter.size();
  }
  return Error{ErrorCode::kNotFound, "the multipart body has no part named '" + std::string(name) + "'"};
}

}  // namespace zn::server
