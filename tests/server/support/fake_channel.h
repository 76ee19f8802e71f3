// A channel that keeps what is sent.
#pragma once

#include "http/channel.h"
#include "http/reply.h"
#include "server/support/fake_loop.h"

namespace zn::server {

class FakeChannel final : public Channel {
 public:
  explicit FakeChannel(FakeLoop* loop) : loop_(loop) {}
  Loop& loop() override { return *loop_; }
  void Finish(Reply reply) override { text += Flatten(reply.body), ended = true; }
  void Send(Pieces bytes) override {
    if (!ended) text += Flatten(bytes);
  }
  void End() override { ended = true; }
  void Drop(Pieces last) override {
    text = Flatten(last);
    ended = true;
  }
  size_t unsent() const override { return waiting; }

  std::string text;
  bool ended = false;
  size_t waiting = 0;

 private:
  FakeLoop* loop_;
};

}  // namespace zn::server
