#include "http/request.h"

#include <algorithm>

#include <cstring>

namespace zn::server {
namespace {

enum : uint8_t { kToken = 1, kValue = 2, kTarget = 4 };

constexpr std::array<uint8_t, 256> MakeTable() {
  std::array<uint8_t, 256> table{};
  for (int c = 0x21; c < 0x7f; ++c) table[c] |= kTarget | kValue;
  table['#'] &= static_cast<uint8_t>(~kTarget);
  for (int c = 0x80; c < 0x100; ++c) table[c] |= kValue;
  table[' '] |= kValue;
  table['\t'] |= kValue;
  for (int c = '0'; c <= '9'; ++c) table[c] |= kToken;
  for (int c = 'a'; c <= 'z'; ++c) table[c] |= kToken;
  for (int c = 'A'; c <= 'Z'; ++c) table[c] |= kToken;
  for (char c : {'!', '#', '$', '%', '&', '\'', '*', '+', '-', '.', '^', '_', '`', '|', '~'})
    table[static_cast<uint8_t>(c)] |= kToken;
  return table;
}
constexpr std::array<uint8_t, 256> kTable = MakeTable();

bool Is(char c, uint8_t kind) { return (kTable[static_cast<uint8_t>(c)] & kind) != 0; }

Method ParseMethod(std::string_view text) {
  if (text == "GET") return Method::kGet;
  if (text == "HEAD") return Method::kHead;
  if (text == "POST") return Method::kPost;
  if (text == "PUT") return Method::kPut;
  if (text == "PATCH") return Method::kPatch;
  if (text == "DELETE") return Method::kDelete;
  if (text == "OPTIONS") return Method::kOptions;
  return Method::kOther;
}

HeadResult Refuse(int status, const char* reason) { return {status, 0, reason}; }

// What the headers said about the end of the body, judged once all are read.
struct Framing {
  bool has_length = false, has_encoding = false, has_host = false;
};

// nullptr, or why the request is refused.
const char* TakeHeader(std::string_view name, std::string_view value, Request* r, Framing* framing,
                       int* status) {
  switch (name.size()) {
    case 4:
      if (EqualsIgnoreCase(name, "host")) {
        if (framing->has_host) return "more than one Host";
        framing->has_host = true;
        r->host = value;
      }
      break;
    case 5:
      if (EqualsIgnoreCase(name, "range")) r->range = value;
      break;
    case 6:
      if (EqualsIgnoreCase(name, "accept")) {
        if (r->accept.empty()) r->accept = value;
      } else if (EqualsIgnoreCase(name, "origin")) {
        r->origin = value;
      } else if (EqualsIgnoreCase(name, "expect")) {
        if (!EqualsIgnoreCase(value, "100-continue")) {
          *status = 417;
          return "the only expectation met here is 100-continue";
        }
        r->expect_continue = true;
      }
      break;
    case 8:
      if (EqualsIgnoreCase(name, "if-range")) r->if_range = value;
      break;
    case 10:
      if (EqualsIgnoreCase(name, "connection")) {
        if (HasToken(value, "close"))
          r->keep_alive = false;
        else if (r->http10 && HasToken(value, "keep-alive"))
          r->keep_alive = true;
      }
      break;
    case 12:
      if (EqualsIgnoreCase(name, "content-type")) r->content_type = value;
      break;
    case 13:
      if (EqualsIgnoreCase(name, "if-none-match")) r->if_none_match = value;
      break;
    case 14:
      if (EqualsIgnoreCase(name, "content-length")) {
        if (framing->has_length) return "more than one Content-Length";
        framing->has_length = true;
        if (value.empty() || value.size() > 18) return "bad Content-Length";
        int64_t length = 0;
        for (char c : value) {
          if (c < '0' || c > '9') return "bad Content-Length";
          length = length * 10 + (c - '0');
        }
        r->content_length = length;
      }
      break;
    case 15:
      if (EqualsIgnoreCase(name, "accept-encoding")) r->accept_encoding = value;
      break;
    case 17:
      if (EqualsIgnoreCase(name, "transfer-encoding")) {
        if (framing->has_encoding) return "more than one Transfer-Encoding";
        framing->has_encoding = true;
        if (value.empty()) return "Transfer-Encoding is empty";  // or folded
        if (!EqualsIgnoreCase(value, "chunked")) {
          *status = 501;
          return "the only transfer coding read here is chunked";
        }
        r->chunked = true;
      }
      break;
    default:
      break;
  }
  return nullptr;
}

}  // namespace

bool EqualsIgnoreCase(std::string_view text, std::string_view lower) {
  if (text.size() != lower.size()) return false;
  for (size_t i = 0; i < text.size(); ++i) {
    char c = text[i];
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c + 32);
    if (c != lower[i]) return false;
  }
  return true;
}

std::string_view Trim(std::string_view text) {
  while (!text.empty() && (text.front() == ' ' || text.front() == '\t')) text.remove_prefix(1);
  while (!text.empty() && (text.back() == ' ' || text.back() == '\t')) text.remove_suffix(1);
  return text;
}

bool HasToken(std::string_view list, std::string_view lower) {
  while (!list.empty()) {
    size_t comma = list.find(',');
    if (EqualsIgnoreCase(Trim(list.substr(0, comma)), lower)) return true;
    if (comma == std::string_view::npos) break;
    list.remove_prefix(comma + 1);
  }
  return false;
}

const std::string_view* Request::Find(std::string_view lower_name) const {
  for (size_t i = 0; i < header_count; ++i)
    if (EqualsIgnoreCase(headers[i].name, lower_name)) return &headers[i].value;
  return nullptr;
}

HeadResult ParseRequestHead(std::string_view bytes, Request* r) {
  const char* p = bytes.data();
  const char* const end = p + bytes.size();
  // RFC 9112, 2.2: an empty line before the request line is ignored (some clients end a body with
  // one).
  for (int i = 0; i < 2 && end - p >= 2 && p[0] == '\r' && p[1] == '\n'; ++i) p += 2;

  r->http10 = r->chunked = r->expect_continue = false;
  r->content_length = -1;
  r->header_count = 0;
  r->host = r->origin = r->accept = r->accept_encoding = r->content_type = {};
  r->if_none_match = r->if_range = r->range = {};

  const char* start = p;
  while (p < end && Is(*p, kToken)) ++p;
  if (p - start > 32) return Refuse(400, "bad method");
  if (p == end) return {-1};
  if (*p != ' ' || p == start) {
    if (*p == '\r' && p + 1 == end && p == start) return {-1};
    return Refuse(400, "bad request line");
  }
  r->method_text = {start, static_cast<size_t>(p - start)};
  r->method = ParseMethod(r->method_text);

  start = ++p;
  while (p < end && Is(*p, kTarget)) ++p;
  if (p == end) return {-1};
  if (*p != ' ' || p == start) return Refuse(400, "bad request target");
  std::string_view target(start, static_cast<size_t>(p - start));
  ++p;
  if (end - p < 10) {
    // Refuse what cannot become "HTTP/1.x\r\n" only once the line is complete.
    if (std::memchr(p, '\n', static_cast<size_t>(end - p))) return Refuse(400, "bad request line");
    return {-1};
  }
  if (std::memcmp(p, "HTTP/", 5) != 0 || p[6] != '.' || p[8] != '\r' || p[9] != '\n')
    return Refuse(400, "bad HTTP version");
  if (p[5] != '1' || (p[7] != '0' && p[7] != '1'))
    return Refuse(505, "this server speaks version 1.1 of HTTP");
  r->http10 = p[7] == '0';
  r->keep_alive = !r->http10;
  p += 10;

  Framing framing;
  for (;;) {
    if (end - p < 2) return {-1};
    if (*p == '\r') {
      if (p[1] != '\n') return Refuse(400, "bare CR");
      p += 2;
      break;
    }
    if (*p == ' ' || *p == '\t') return Refuse(400, "folded header line");
    const char* name = p;
    while (p < end && Is(*p, kToken)) ++p;
    if (p == end) return {-1};
    if (*p != ':' || p == name) return Refuse(400, "bad header name");
    std::string_view header_name(name, static_cast<size_t>(p - name));
    const char* value = ++p;
    while (p < end && Is(*p, kValue)) ++p;
    if (end - p < 2) {
      if (p < end && *p != '\r') return Refuse(400, "control character in a header");
      return {-1};
    }
    if (p[0] != '\r' || p[1] != '\n') return Refuse(400, "control character in a header");
    std::string_view header_value = Trim({value, static_cast<size_t>(p - value)});
    p += 2;
    if (r->header_count == Request::kMaxHeaders) return Refuse(431, "more than 64 headers");
    r->headers[r->header_count++] = {header_name, header_value};
    int status = 400;
    if (const char* reason = TakeHeader(header_name, header_value, r, &framing, &status))
      return Refuse(status, reason);
  }
  if (framing.has_encoding && (framing.has_length || r->http10))
    return Refuse(400, "Transfer-Encoding together with Content-Length, or before version 1.1");
  if (!framing.has_host && !r->http10) return Refuse(400, "Host is missing");

  r->target = target;
  if (target.front() != '/') {  // absolute-form; "*" is for OPTIONS
    size_t scheme = target.find("://");
    if (scheme != std::string_view::npos && EqualsIgnoreCase(target.substr(0, scheme), "http")) {
      std::string_view rest = target.substr(scheme + 3);
      size_t slash = rest.find_first_of("/?");
      r->host = rest.substr(0, slash);  // RFC 9112, 3.2.2: it replaces Host
      r->target = slash == std::string_view::npos || rest[slash] == '?' ? std::string_view("/")
                                                                        : rest.substr(slash);
    } else if (!(target == "*" && r->method == Method::kOptions)) {
      return Refuse(400, "bad request target");
    }
  }
  size_t question = r->target.find('?');
  r->path = r->target.substr(0, question);
  r->query =
      question == std::string_view::npos ? std::string_view() : r->target.substr(question + 1);
  return {0, static_cast<size_t>(p - bytes.data())};
}

std::string_view HostName(std::string_view host) {
  if (!host.empty() && host.front() == '[') return host.substr(0, host.find(']') + 1);
  return host.substr(0, host.find(':'));
}

bool NamesLoopback(std::string_view host) {
  const std::string_view name = HostName(host);
  if (EqualsIgnoreCase(name, "localhost") || name == "[::1]") return true;
  if (name.substr(0, 4) != "127.") return false;
  return std::all_of(name.begin(), name.end(), [](char c) { return c == '.' || (c >= '0' && c <= '9'); });
}

bool IsLocal(const Request& request) {
  return request.local && (request.host.empty() || NamesLoopback(request.host)) && !request.Find("forwarded") &&
         !request.Find("x-forwarded-for") && !request.Find("x-real-ip") && !request.Find("via");
}

Buffer OwnedRequest::BodyBuffer() const {
  if (!spooled.empty()) return spooled;
  return Buffer(shared_from_this(), std::as_bytes(std::span(body)));
}

std::shared_ptr<OwnedRequest> OwnedRequest::Copy(std::string_view head) {
  auto owned = std::make_shared<OwnedRequest>();
  owned->head.assign(head);
  ParseRequestHead(owned->head, &owned->request);
  return owned;
}

}  // namespace zn::server
