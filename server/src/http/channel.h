// A connection handed over: the seam that long polling, Server-Sent Events and WebSocket share.
//
// A handler whose reply is not finished when it returns gives the reply an owner (Reply::owner) and
// says how the connection is handed over:
//   kDeferred  nothing is sent yet; the owner calls Channel::Finish once, and HTTP goes on
//   kStream    the head is sent; the owner sends pieces of an endless body, then ends it
//   kUpgrade   the head (101) is sent; from then on the bytes both ways are the owner's
//
// The connection stays the only one that reads and writes its socket, so limits, counters and
// timeouts for slow clients hold for all three. It holds its owner until it is closed or, when
// deferred, until the reply is out; the owner holds the channel, never the connection.
#pragma once

#include <memory>
#include <string_view>

#include "http/body.h"

namespace zn::server {

class Loop;
struct Reply;

/// The owner's handle. Every member may be called from any thread; calls take effect in order, and
/// none once the connection is closed.
class Channel {
 public:
  virtual ~Channel() = default;
  /// The connection's thread, on which the owner's members are called. Must not be used after the
  /// server has stopped.
  virtual Loop& loop() = 0;
  /// kDeferred: the reply. Its body must be complete (no stream). Its owner's OnClosed is not
  /// called anymore.
  virtual void Finish(Reply reply) = 0;
  /// kStream, kUpgrade: queues bytes, which are shared and not copied.
  virtual void Send(Pieces bytes) = 0;
  /// Sends what is queued, then ends the body or the connection.
  virtual void End() = 0;
  /// Forgets what is queued and not yet given to the socket, sends `last`, and ends: for a client
  /// that does not keep up, so that the reason still reaches it if it ever reads.
  virtual void Drop(Pieces last) = 0;
  /// Bytes that were queued and not yet taken by the socket.
  virtual size_t unsent() const = 0;
};

/// Who the connection is handed over to. All members are called on the connection's thread.
class ChannelOwner {
 public:
  virtual ~ChannelOwner() = default;
  /// The first call. For kStream and kUpgrade the head is queued already.
  virtual void OnOpen(std::shared_ptr<Channel> channel) = 0;
  /// kUpgrade: what the client sent; the bytes are only good during the call.
  virtual void OnBytes(std::string_view bytes) { (void)bytes; }
  /// The server is stopping: finish or end soon.
  virtual void OnStopping() = 0;
  /// The last call: the connection is gone, by whoever's doing.
  virtual void OnClosed() = 0;
};

enum class Handover : uint8_t { kNone, kDeferred, kStream, kUpgrade };

}  // namespace zn::server
