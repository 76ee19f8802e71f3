// Errors as RFC 9457 problems, and the one table from the engine's error codes to HTTP statuses.
#pragma once

#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "zn/engine/error.h"

namespace zn::server {

/// The HTTP status of an engine's error.
int HttpStatus(ErrorCode code);
/// "Not Found"; "Unknown" for what is not listed.
std::string_view ReasonPhrase(int status);

struct Problem {
  int status = 500;
  std::string type;    // the last part of the problem type: "not-found", "method-not-allowed"
  std::string detail;  // what went wrong with which argument, and what to do
  /// Further members: name and JSON text. "candidates", "latest", ...
  std::vector<std::pair<std::string, std::string>> extra;
  std::string headers;  // complete lines, e.g. "Allow: GET, HEAD\r\n"

  Problem(int status_code, std::string type_name, std::string text)
      : status(status_code), type(std::move(type_name)), detail(std::move(text)) {}
  Problem(
      const Error& error);  // NOLINT: engine errors turn into problems wherever they are returned

  Problem With(std::string_view name, int64_t value) &&;
  Problem With(std::string_view name, const std::vector<std::string>& values) &&;
  /// `instance` is the path that was asked for.
  std::string ToJson(std::string_view instance) const;
};

inline Problem BadRequest(std::string detail) {
  return {400, "invalid-argument", std::move(detail)};
}
inline Problem NotFound(std::string detail) { return {404, "not-found", std::move(detail)}; }

/// A T, or the Problem why there is none.
template <class T>
class [[nodiscard]] Answer : public tl::expected<T, Problem> {
 public:
  using tl::expected<T, Problem>::expected;
  Answer(Problem problem) : tl::expected<T, Problem>(tl::unexpect, std::move(problem)) {}  // NOLINT
  Answer(Error error) : tl::expected<T, Problem>(tl::unexpect, Problem(error)) {}          // NOLINT
};

}  // namespace zn::server
