// Errors are values: what can happen (not found, conflict, corrupt, full disk) is returned as a Result;
// what cannot happen is an assertion. One table (server) maps ErrorCode to HTTP, another (tools) to exit codes.
#pragma once

#include <string>
#include <string_view>
#include <tl/expected.hpp>
#include <utility>

namespace zn {

enum class ErrorCode {
  kInvalidArgument,  // the caller's argument makes no sense; says which and why
  kNotFound,         // no such room, frame, field, commit or file
  kPruned,           // there was such a commit or version, but the room's retention no longer keeps it
  kAlreadyExists,
  kConflict,         // based on a version or commit that is not the newest
  kOutOfRange,       // an index beyond the end
  kUnsupported,      // well-formed, but nothing here reads or writes it
  kCorrupt,          // stored or imported bytes contradict their checksum or their format
  kIo,               // the operating system refused; the message holds its words
  kNoSpace,          // the disk or a configured bound is full
  kReadOnly,
  kBusy,             // another process holds the store
  kTooLarge,         // beyond a configured bound
  kTypeMismatch,     // a dtype, rank or atom count that does not fit
  kCancelled,
  kUnavailable,      // the store stopped writing after a failed sync; reopen it
  kInternal,
};

/// "not-found", "corrupt", ...: stable names for logs and JSON.
std::string_view ErrorCodeName(ErrorCode code);

struct Error {
  ErrorCode code = ErrorCode::kInternal;
  std::string message;

  /// The same error with where it happened put in front: "packs/000001.pack: bad magic".
  Error Context(std::string_view where) && {
    message.insert(0, std::string(where) + ": ");
    return std::move(*this);
  }
};

/// A T, or the Error why there is none.
template <class T = void>
class [[nodiscard]] Result : public tl::expected<T, Error> {
 public:
  using tl::expected<T, Error>::expected;
  Result(Error error) : tl::expected<T, Error>(tl::unexpect, std::move(error)) {}  // NOLINT
  Result(ErrorCode code, std::string message)
      : tl::expected<T, Error>(tl::unexpect, Error{code, std::move(message)}) {}
};

}  // namespace zn

#define ZN_CONCAT_INNER(a, b) a##b
#define ZN_CONCAT(a, b) ZN_CONCAT_INNER(a, b)

/// Returns the error of `expression` (a Result) from the enclosing function, if it is one.
#define ZN_RETURN_IF_ERROR(expression)                         \
  do {                                                         \
    if (auto zn_result = (expression); !zn_result)             \
      return std::move(zn_result).error();                     \
  } while (false)

/// `ZN_ASSIGN_OR_RETURN(auto x, F())`: x is F()'s value, or F()'s error is returned.
#define ZN_ASSIGN_OR_RETURN(lhs, expression) \
  ZN_ASSIGN_OR_RETURN_IMPL(ZN_CONCAT(zn_result_, __LINE__), lhs, expression)
#define ZN_ASSIGN_OR_RETURN_IMPL(result, lhs, expression) \
  auto result = (expression);                             \
  if (!result) return std::move(result).error();          \
  lhs = std::move(*result)
