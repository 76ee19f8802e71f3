// How many durable commits a second the log takes from many threads, against one fdatasync after
// another.
//
//   zn-bench-log DIRECTORY [THREADS [PAYLOAD [SECONDS]]]
//
// In turn, in one run: a loop of pwrite and fdatasync of 4 KiB, then THREADS threads that append
// PAYLOAD bytes and wait. Also the cost of reading a durable record, and of opening a log of many
// files. One JSON line each.
#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <thread>
#include <vector>

#include "base/file.h"
#include "log/log.h"

namespace {

using Clock = std::chrono::steady_clock;

double Since(Clock::time_point start) {
  return std::chrono::duration<double>(Clock::now() - start).count();
}

[[noreturn]] void Die(const zn::Error& error) {
  std::fprintf(stderr, "%s\n", error.message.c_str());
  std::exit(1);
}

template <class T>
T Must(zn::Result<T> result) {
  if (!result) Die(result.error());
  if constexpr (!std::is_void_v<T>) return std::move(*result);
}

double SyncsPerSecond(const std::string& path, double seconds) {
  Must(zn::RemoveFile(path));
  zn::File file = Must(zn::File::Open(path, zn::File::kCreateNew));
  std::vector<std::byte> page(4096, std::byte{7});
  int64_t count = 0;
  auto start = Clock::now();
  while (Since(start) < seconds) {
    Must(file.WriteAt(count * 4096, page));
    Must(file.SyncData());
    ++count;
  }
  double rate = static_cast<double>(count) / Since(start);
  file.Close();
  Must(zn::RemoveFile(path));
  return rate;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc < 2) {
    std::fprintf(stderr, "usage: zn-bench-log DIRECTORY [THREADS [PAYLOAD [SECONDS]]]\n");
    return 2;
  }
  const std::string directory = argv[1];
  const int threads = argc > 2 ? std::atoi(argv[2]) : 64;
  const size_t payload = argc > 3 ? std::strtoul(argv[3], nullptr, 10) : 1024;
  const double seconds = argc > 4 ? std::atof(argv[4]) : 2;
  Must(zn::MakeDirectory(directory));
  zn::LocalLogOptions options;
  options.directory = directory + "/log";
  options.head_path = directory + "/head";
  options.quarantine = directory + "/quarantine";
  options.salt = 1;
  Must(zn::RemoveTree(options.directory));
  Must(zn::RemoveFile(options.head_path));

  std::vector<zn::RecordRef> refs;
  for (int round = 0; round < 3; ++round) {
    double syncs = SyncsPerSecond(directory + "/loop", seconds / 2);
    auto log = Must(zn::OpenLocalLog(options));
    Must(log->Replay([](uint64_t, const zn::LoggedRecord&) { return zn::Result<>(); }));
    std::atomic<int64_t> commits{0};
    std::atomic<bool> stop{false};
    std::vector<double> slowest(static_cast<size_t>(threads));
    std::vector<std::thread> writers;
    auto start = Clock::now();
    for (int t = 0; t < threads; ++t) {
      writers.emplace_back([&, t] {
        double& worst = slowest[static_cast<size_t>(t)];
        while (!stop.load(std::memory_order_relaxed)) {
          auto began = Clock::now();
          auto ticket = Must(log->Append([&](const zn::Log::AppendRecord& append) {
            append(zn::RecordType::kNode,
                   std::vector<std::byte>(payload, static_cast<std::byte>(t)));
            return zn::Result<>();
          }));
          Must(log->Wait(ticket));
          commits.fetch_add(1, std::memory_order_relaxed);
          worst = std::max(worst, Since(began));
        }
      });
    }
    std::this_thread::sleep_for(std::chrono::duration<double>(seconds));
    stop = true;
    for (auto& writer : writers) writer.join();
    double rate = static_cast<double>(commits) / Since(start);
    std::printf(
        "{\"threads\": %d, \"payload\": %zu, \"commits_per_s\": %.0f, \"fdatasyncs_per_s\": %.0f, "
        "\"ratio\": %.1f, \"commits_per_group\": %.1f, \"slowest_ms\": %.2f}\n",
        threads, payload, rate, syncs, rate / syncs,
        static_cast<double>(commits) / static_cast<double>(log->stats().groups),
        1e3 * *std::max_element(slowest.begin(), slowest.end()));

    if (round == 0) {
      for (int i = 0; i < 1000; ++i) {
        zn::RecordRef ref;
        auto ticket = Must(log->Append([&](const zn::Log::AppendRecord& append) {
          ref = append(zn::RecordType::kNode, std::vector<std::byte>(200, std::byte{1}));
          return zn::Result<>();
        }));
        refs.push_back(ref);
        if (i % 100 == 99) Must(log->Wait(ticket));
      }
      for (const auto& ref : refs) (void)Must(log->Read(ref));
      size_t bytes = 0;
      constexpr int kRounds = 2000;
      auto began = Clock::now();
      for (int i = 0; i < kRounds; ++i) {
        for (const auto& ref : refs) bytes += log->ReadDurable(ref)->size();
      }
      double durable = Since(began) / kRounds / static_cast<double>(refs.size());
      began = Clock::now();
      for (int i = 0; i < kRounds; ++i) {
        for (const auto& ref : refs) bytes += log->Read(ref)->size();
      }
      double read = Since(began) / kRounds / static_cast<double>(refs.size());
      std::printf("{\"read_durable_ns\": %.1f, \"read_ns\": %.1f, \"bytes\": %zu}\n", 1e9 * durable,
                  1e9 * read, bytes);
    }
    if (round == 1) Must(log->Checkpoint());  // what a clean close does
  }
  for (bool with_head : {true, false}) {
    if (!with_head) Must(zn::RemoveFile(options.head_path));
    auto log = Must(zn::OpenLocalLog(options));
    Must(log->Checkpoint());
    log.reset();
    if (!with_head) Must(zn::RemoveFile(options.head_path));
    auto began = Clock::now();
    log = Must(zn::OpenLocalLog(options));
    Must(log->Replay([](uint64_t, const zn::LoggedRecord&) { return zn::Result<>(); }));
    std::printf("{\"open_ms\": %.2f, \"head\": %s, \"files\": %lld}\n", 1e3 * Since(began),
                with_head ? "true" : "false", static_cast<long long>(log->stats().files));
  }
  return 0;
}
