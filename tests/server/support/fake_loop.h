// A loop on which a test runs what was posted, at times that it sets.
#pragma once

#include <deque>
#include <functional>
#include <map>

#include "http/loop.h"

namespace zn::server {

class FakeLoop final : public Loop {
 public:
  void Post(std::function<void()> task) override { tasks_.push_back(std::move(task)); }
  void After(int64_t ms, std::function<void()> task) override {
    timed_.emplace(now_ + ms, std::move(task));
  }
  int64_t NowMs() const override { return now_; }
  void RunOnPool(std::function<void()> task) override { Post(std::move(task)); }

  /// Until nothing is left to do now.
  void Run() {
    while (!tasks_.empty()) {
      auto task = std::move(tasks_.front());
      tasks_.pop_front();
      task();
    }
  }
  void Advance(int64_t ms) {
    Run();
    const int64_t until = now_ + ms;
    while (!timed_.empty() && timed_.begin()->first <= until) {
      now_ = timed_.begin()->first;
      auto task = std::move(timed_.begin()->second);
      timed_.erase(timed_.begin());
      task();
      Run();
    }
    now_ = until;
  }

 private:
  int64_t now_ = 1'000'000;
  std::deque<std::function<void()>> tasks_;
  std::multimap<int64_t, std::function<void()>> timed_;
};

}  // namespace zn::server
