// A connection's channel, and what it keeps while it is handed over.
#pragma once

#include <atomic>
#include <memory>
#include <mutex>
#include <optional>

#include "http/channel.h"
#include "http/reply.h"

namespace zn::server {

class Connection;
struct Worker;

/// Collects what the owner wants, from any thread, and wakes the connection once for all of it.
class HeldChannel final : public Channel, public std::enable_shared_from_this<HeldChannel> {
 public:
  HeldChannel(Worker& worker, std::weak_ptr<Connection> connection)
      : worker_(worker), connection_(std::move(connection)) {}

  Loop& loop() override;
  void Finish(Reply reply) override;
  void Send(Pieces bytes) override;
  void End() override;
  void Drop(Pieces last) override;
  size_t unsent() const override { return unsent_.load(std::memory_order_relaxed); }

  // The connection's side, on its thread.
  struct Wishes {
    Pieces pieces;
    std::unique_ptr<Reply> reply;
    bool drop = false, end = false;
  };
  Wishes Take();
  void Sent(size_t bytes) { unsent_.fetch_sub(bytes, std::memory_order_relaxed); }
  /// The connection is gone: nothing is done from now on.
  void Detach();

 private:
  void Wake();  // REQUIRES: mutex_ held
  Worker& worker_;
  std::atomic<size_t> unsent_{0};
  std::mutex mutex_;
  // Guarded by mutex_:
  std::weak_ptr<Connection> connection_;
  Wishes wishes_;
  bool woken_ = false, detached_ = false;
};

struct Held {
  Handover kind;
  std::shared_ptr<ChannelOwner> owner;
  std::shared_ptr<HeldChannel> channel;
  Pieces waiting;  // for the socket: [next, end)
  size_t next = 0;
  size_t in_flight = 0;  // bytes given to the connection's output and not reported as sent
  bool ending = false;   // once `waiting` is out
  bool ended = false;    // the last chunk is queued
};

}  // namespace zn::server
