// A reply before it is put on the wire, and what is done to every one of them there: validators,
// ranges, coding.
#pragma once

#include <memory>
#include <string>
#include <string_view>

#include "http/body.h"
#include "http/channel.h"
#include "http/problem.h"
#include "http/request.h"
#include "zn/engine/version.h"

namespace zn::server {

struct Reply {
  int status = 200;
  std::string_view content_type;  // a literal; empty when there is no body
  std::string headers;            // further complete lines
  /// Without quotes and coding letter: "9f2c.17.3-1a2b3c4d". Empty: none.
  std::string etag;
  bool accept_ranges = false;
  bool compressible = true;  // false: already packed, or not worth trying
  Pieces body;
  std::unique_ptr<BodyStream> stream;  // continues `body`
  bool close = false;                  // end the connection afterwards
  /// Not kNone: `owner` takes over, and there is no body here.
  Handover handover = Handover::kNone;
  std::shared_ptr<ChannelOwner> owner;
  /// Sent once this is durable; a failure of it is the reply then.
  std::shared_ptr<PendingCommit> pending;

  static Reply Json(std::string text, int status = 200);
  static Reply Of(const Problem& problem, std::string_view instance);
  /// See channel.h.
  static Reply HandOver(Handover handover, std::shared_ptr<ChannelOwner> owner);
};

/// Whether If-None-Match says that the client has `etag` already, in whatever coding.
bool NotModified(const Request& request, std::string_view etag);
/// The 304 for it. `headers` as the 200 would have had. Its ETag is the one that the client has.
Reply NotModifiedReply(const Request& request, std::string etag, std::string headers);

/// Gathers the front of the stream, so that small bodies get their length and coding; applies Range
/// and compression. Runs on the pool.
Reply Finish(const Request& request, Reply reply);

/// The head as bytes. `date` is the value of Date. Sets `chunked` when the body has to be framed
/// so.
std::string FormatHead(const Request& request, const Reply& reply, std::string_view date,
                       bool keep_alive, bool* chunked);

}  // namespace zn::server
