// The head of an HTTP/1.1 request, parsed in place.
//
// ParseRequestHead reads a head of RFC 9112 in one pass and allocates nothing: every member of
// Request is a view into the bytes that were parsed. It is strict where leniency lets a proxy and a
// server disagree about where a request ends (request smuggling): Transfer-Encoding together with
// Content-Length, a repeated or malformed Content-Length, bare CR or LF, folded lines, white space
// before a colon and control characters are all 400. docs/decisions/0030-request-head.md says why
// it is our own.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include "zn/engine/buffer.h"

namespace zn::server {

enum class Method : uint8_t { kGet, kHead, kPost, kPut, kPatch, kDelete, kOptions, kOther };

struct Header {
  std::string_view name, value;
};

/// An IP address; IPv4 as ::ffff:a.b.c.d.
struct PeerAddress {
  std::array<uint8_t, 16> bytes{};
  static PeerAddress V4(const std::array<uint8_t, 4>& address) {
    return {{0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, address[0], address[1], address[2], address[3]}};
  }
  bool is_v4() const {
    for (size_t i = 0; i < 10; ++i)
      if (bytes[i] != 0) return false;
    return bytes[10] == 0xff && bytes[11] == 0xff;
  }
};

struct Request {
  static constexpr size_t kMaxHeaders = 64;

  Method method = Method::kOther;
  std::string_view method_text;
  std::string_view
      target;  // as sent; origin-form, or what followed the authority of an absolute-form
  std::string_view path;   // target up to '?'
  std::string_view query;  // behind '?', without it
  bool http10 = false;
  bool keep_alive = true;
  bool chunked = false;
  bool expect_continue = false;
  bool local = false;  // the client is on this machine; set by the connection, as is
  PeerAddress peer;
  int64_t content_length = -1;  // -1: none given

  // The headers this server acts on; an absent one is empty, and Find tells "empty" from "absent".
  std::string_view host, origin, accept, accept_encoding, content_type, if_none_match, if_range,
      range;

  size_t header_count = 0;
  std::array<Header, kMaxHeaders> headers;  // only [0, header_count) is meaningful

  /// The value of a header by lower-case name; nullptr when it was not sent.
  const std::string_view* Find(std::string_view lower_name) const;
  bool has_body() const { return chunked || content_length > 0; }
};

struct HeadResult {
  int status =
      0;  // 0: parsed; -1: more bytes are needed; otherwise the HTTP status that refuses it
  size_t size = 0;          // bytes of the head, with its empty line
  const char* reason = "";  // of a refusal
};

/// Parses the head at the front of `bytes`. `request` is meaningful only when status is 0, and as
/// long as `bytes`.
HeadResult ParseRequestHead(std::string_view bytes, Request* request);

class TempFile;

/// A request that owns its bytes, for work that outlives the connection's buffer.
struct OwnedRequest : std::enable_shared_from_this<OwnedRequest> {
  std::string head;
  Request request;  // views into head
  std::string body;  // empty where `spooled` has it
  Buffer spooled;    // a body too long for memory, mapped from `spool`
  std::shared_ptr<TempFile> spool;
  /// The body, sharing this request. REQUIRES: made by Copy.
  Buffer BodyBuffer() const;
  bool body_too_large = false;  // then it was not read

  static std::shared_ptr<OwnedRequest> Copy(std::string_view head);
};

/// "localhost", "127.0.0.1:5000", "[::1]": does a Host header name this machine from within?
bool NamesLoopback(std::string_view host);
/// "[::1]:5000" -> "[::1]".
std::string_view HostName(std::string_view host);
/// Does the request come from this machine itself, and not through a proxy on it?
bool IsLocal(const Request& request);

/// ASCII case-insensitive comparison; `lower` is in lower case.
bool EqualsIgnoreCase(std::string_view text, std::string_view lower);
/// Without blanks and tabs around it.
std::string_view Trim(std::string_view text);
/// Does a comma-separated list of tokens hold `lower`?
bool HasToken(std::string_view list, std::string_view lower);

}  // namespace zn::server
