#include "http/reply.h"

#include <charconv>

#include "http/compress.h"

namespace zn::server {
namespace {

// Bodies up to this are complete before their head is sent.
constexpr uint64_t kGather = 2 << 20;
constexpr size_t kCompressFrom = 1024;

enum class RangeKind { kNone, kOk, kUnsatisfiable };

bool ParseNumber(std::string_view text, uint64_t* value) {
  auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), *value);
  return error == std::errc() && end == text.data() + text.size() && !text.empty();
}

// One range of bytes; several, or anything else, are ignored as RFC 9110 allows.
RangeKind ParseRange(std::string_view header, uint64_t size, uint64_t* offset, uint64_t* count) {
  if (header.substr(0, 6) != "bytes=") return RangeKind::kNone;
  std::string_view spec = Trim(header.substr(6));
  size_t dash = spec.find('-');
  if (dash == std::string_view::npos || spec.find(',') != std::string_view::npos)
    return RangeKind::kNone;
  uint64_t first = 0, last = 0;
  if (dash == 0) {
    if (!ParseNumber(spec.substr(1), &last)) return RangeKind::kNone;
    if (last == 0 || size == 0) return RangeKind::kUnsatisfiable;
    *count = std::min(last, size);
    *offset = size - *count;
    return RangeKind::kOk;
  }
  if (!ParseNumber(spec.substr(0, dash), &first)) return RangeKind::kNone;
  if (dash + 1 == spec.size()) {
    last = UINT64_MAX;
  } else if (!ParseNumber(spec.substr(dash + 1), &last) || last < first) {
    return RangeKind::kNone;
  }
  if (first >= size) return RangeKind::kUnsatisfiable;
  *offset = first;
  *count = std::min(last, size - 1) - first + 1;
  return RangeKind::kOk;
}

std::string_view CodingLetter(Coding coding) {
  return coding == Coding::kZstd ? "z" : coding == Coding::kGzip ? "g" : "i";
}

}  // namespace

Reply Reply::Json(std::string text, int status) {
  Reply reply;
  reply.status = status;
  reply.content_type = "application/json";
  reply.body.push_back(BufferOf(std::move(text)));
  return reply;
}

Reply Reply::Of(const Problem& problem, std::string_view instance) {
  Reply reply = Json(problem.ToJson(instance), problem.status);
  reply.content_type = "application/problem+json";
  reply.headers = problem.headers;
  if (problem.status == 503) reply.headers += "Retry-After: 1\r\n";
  return reply;
}

Reply Reply::HandOver(Handover handover, std::shared_ptr<ChannelOwner> owner) {
  Reply reply;
  if (handover == Handover::kUpgrade) reply.status = 101;
  reply.handover = handover;
  reply.owner = std::move(owner);
  return reply;
}

namespace {
// The coding letter of the tag in If-None-Match that is `etag`; 0 when none is.
char MatchingCoding(std::string_view list, std::string_view etag) {
  if (list.empty() || etag.empty()) return 0;
  if (list == "*") return 'i';
  while (!list.empty()) {
    size_t comma = list.find(',');
    std::string_view tag = Trim(list.substr(0, comma));
    list = comma == std::string_view::npos ? std::string_view() : list.substr(comma + 1);
    if (tag.substr(0, 2) == "W/") tag.remove_prefix(2);
    if (tag.size() != etag.size() + 3 || tag.front() != '"' || tag.substr(1, etag.size()) != etag)
      continue;
    char letter = tag[tag.size() - 2];
    if (letter == 'i' || letter == 'g' || letter == 'z') return letter;
  }
  return 0;
}
}  // namespace

bool NotModified(const Request& request, std::string_view etag) {
  return MatchingCoding(request.if_none_match, etag) != 0;
}

Reply NotModifiedReply(const Request& request, std::string etag, std::string headers) {
  Reply reply;
  reply.status = 304;
  reply.headers = std::move(headers);
  reply.headers += "ETag: \"" + etag + MatchingCoding(request.if_none_match, etag) + "\"\r\n";
  return reply;
}

Reply Finish(const Request& request, Reply reply) {
  if (reply.handover != Handover::kNone) return reply;
  std::optional<uint64_t> length;
  if (reply.stream) {
    length = reply.stream->length();
  } else {
    length = TotalSize(reply.body);
  }
  std::string tag;
  bool tagged = !reply.etag.empty();
  if (tagged) tag = "\"" + reply.etag;
  if (reply.status == 304) return reply;
  bool whole = true;
  if (reply.accept_ranges && reply.status == 200) {
    reply.headers += "Accept-Ranges: bytes\r\n";
    uint64_t offset = 0, count = 0;
    bool wanted = !request.range.empty() && length && request.method == Method::kGet &&
                  (request.if_range.empty() || (tagged && request.if_range == tag + "i\""));
    RangeKind kind =
        wanted ? ParseRange(request.range, *length, &offset, &count) : RangeKind::kNone;
    if (kind == RangeKind::kUnsatisfiable) {
      Reply refused = Reply::Of(
          Problem(416, "range", "the range lies beyond the " + std::to_string(*length) + " bytes"),
          request.path);
      refused.headers += "Content-Range: bytes */" + std::to_string(*length) + "\r\n";
      return refused;
    }
    if (kind == RangeKind::kOk) {
      whole = false;
      reply.status = 206;
      reply.headers += "Content-Range: bytes " + std::to_string(offset) + "-" +
                       std::to_string(offset + count - 1) + "/" + std::to_string(*length) + "\r\n";
      if (reply.stream) {
        auto ranged = RangeOf(std::move(reply.stream), offset, count);
        if (!ranged) return Reply::Of(ranged.error(), request.path);
        reply.stream = std::move(*ranged);
        length = count;
      } else {
        reply.body = SlicePieces(reply.body, offset, count);
      }
    }
  }
  if (request.method == Method::kHead && reply.stream && length) {
    if (tagged) reply.headers += "ETag: " + tag + "i\"\r\n";
    return reply;  // nothing needs to be produced to tell its length
  }
  while (reply.stream && TotalSize(reply.body) < kGather) {
    auto more = reply.stream->Next(&reply.body);
    if (!more) {
      Reply refused = Reply::Of(more.error(), request.path);
      return refused;
    }
    if (!*more) reply.stream.reset();
  }
  Coding coding = Coding::kIdentity;
  if (whole && !reply.stream && reply.compressible && reply.status == 200 &&
      !request.accept_encoding.empty()) {
    coding = ChooseCoding(request.accept_encoding);
    uint64_t size = TotalSize(reply.body);
    if (coding != Coding::kIdentity && size >= kCompressFrom) {
      std::string raw = Flatten(reply.body);
      std::optional<std::string> packed = CompressIfWorth(coding, raw);
      if (packed) {
        reply.body = {BufferOf(std::move(*packed))};
        reply.headers +=
            coding == Coding::kZstd ? "Content-Encoding: zstd\r\n" : "Content-Encoding: gzip\r\n";
      } else {
        coding = Coding::kIdentity;
      }
    } else {
      coding = Coding::kIdentity;
    }
  }
  if (tagged) reply.headers += "ETag: " + tag + std::string(CodingLetter(coding)) + "\"\r\n";
  return reply;
}

std::string FormatHead(const Request& request, const Reply& reply, std::string_view date,
                       bool keep_alive, bool* chunked) {
  *chunked = false;
  std::string head;
  head.reserve(512);
  head += "HTTP/1.1 ";
  head += std::to_string(reply.status);
  head += ' ';
  head += ReasonPhrase(reply.status);
  head += "\r\nDate: ";
  head += date;
  head += "\r\n";
  if (!reply.content_type.empty()) {
    head += "Content-Type: ";
    head += reply.content_type;
    head += "\r\n";
  }
  if (reply.status != 304 && reply.status != 204 && reply.status != 101) {
    std::optional<uint64_t> length;
    if (reply.handover == Handover::kStream) {
      // endless
    } else if (!reply.stream) {
      length = TotalSize(reply.body);
    } else if (auto total = reply.stream->length()) {
      length = *total;
    }
    if (length) {
      head += "Content-Length: " + std::to_string(*length) + "\r\n";
    } else if (!request.http10) {
      head += "Transfer-Encoding: chunked\r\n";
      *chunked = true;
    } else {
      keep_alive = false;
    }
  }
  head += reply.headers;
  if (!keep_alive) {
    head += "Connection: close\r\n";
  } else if (request.http10) {
    head += "Connection: keep-alive\r\n";
  }
  head += "\r\n";
  return head;
}

}  // namespace zn::server
