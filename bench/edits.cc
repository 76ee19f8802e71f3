// What changing a room costs, and whether it depends on how large the room is or how often it was
// changed: fork, insert at the front, append, durable edits by 1 and 64 writers, bytes written an
// edit, and opening the store.
//
//   zn-bench-edits --dir DIR --frames 1000 --edits 1000000 [--seconds 3] [--edit-seconds 90]
//
// Builds a room of --frames frames of two atoms, measures, makes --edits random edits (or as many as
// --edit-seconds allow), measures again. Every operation is durable when it returns. A loop of small appends with fdatasync in the
// same folder is the peer. One line of JSON a state.
#include <fcntl.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <random>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include "zn/engine/store.h"

namespace {

using Clock = std::chrono::steady_clock;

double Seconds(Clock::time_point begin) {
  return std::chrono::duration<double>(Clock::now() - begin).count();
}

[[noreturn]] void Die(const zn::Error& error) {
  std::fprintf(stderr, "%s: %s\n", std::string(zn::ErrorCodeName(error.code)).c_str(),
               error.message.c_str());
  std::exit(1);
}

template <class T>
T Must(zn::Result<T> result) {
  if (!result) Die(result.error());
  return std::move(*result);
}

zn::FrameBatch Frames(int64_t count, uint64_t seed) {
  std::mt19937_64 random(seed);
  zn::FrameBatch batch;
  batch.n_atoms.assign(static_cast<size_t>(count), 2);
  std::vector<float> positions(static_cast<size_t>(count) * 6);
  for (float& x : positions) x = static_cast<float>(random() >> 40) * 1e-6f;
  std::vector<double> energies(static_cast<size_t>(count));
  for (double& e : energies) e = -1e-6 * static_cast<double>(random() >> 40);
  zn::Column position, energy;
  position.name = "arrays.positions";
  position.kind = zn::FieldKind::kAtom;
  position.dtype = zn::DType::kFloat32;
  position.inner = {3};
  position.data = zn::Buffer::Own(std::move(positions));
  energy.name = "calc.energy";
  energy.data = zn::Buffer::Own(std::move(energies));
  batch.columns.push_back(std::move(position));
  batch.columns.push_back(std::move(energy));
  return batch;
}

zn::FrameBatch OnePosition(uint64_t seed) {
  zn::FrameBatch batch = Frames(1, seed);
  batch.columns.pop_back();
  return batch;
}

const zn::CommitContext kContext{"bench", ""};

class Bench {
 public:
  Bench(std::string directory, double seconds)
      : directory_(std::move(directory)), seconds_(seconds) {}

  void Open() {
    zn::StoreOptions options;
    options.create = true;
    store_ = Must(zn::Store::Open(directory_ + "/store", options));
  }

  void Build(int64_t frames) {
    room_ = Must(store_->CreateRoom("room", {}, kContext));
    auto begin = Clock::now();
    auto appender = Must(room_->StartBulkAppend({}));
    constexpr int64_t kBatch = 65536;
    for (int64_t done = 0; done < frames; done += kBatch) {
      if (auto ok = appender->Append(
              Frames(std::min(kBatch, frames - done), static_cast<uint64_t>(done)));
          !ok)
        Die(ok.error());
    }
    Must(appender->Finish(kContext));
    std::fprintf(stderr, "built %lld frames in %.1f s\n", static_cast<long long>(frames),
                 Seconds(begin));
  }

  // Median microseconds of `repeats` runs of `operation`.
  template <class F>
  double Median(int repeats, F operation) {
    std::vector<double> times;
    for (int i = 0; i < repeats; ++i) {
      auto begin = Clock::now();
      operation(i);
      times.push_back(Seconds(begin) * 1e6);
    }
    std::sort(times.begin(), times.end());
    return times[times.size() / 2];
  }

  struct Rate {
    double per_second = 0, bytes_each = 0, p50 = 0, p999 = 0;
    int64_t edits = 0;
  };

  // Random durable edits of the positions of one frame by `writers` threads, until `limit` edits or
  // `seconds` are over.
  Rate Edits(int writers, int64_t limit, double seconds) {
    zn::Snapshot head = room_->Head();
    const int64_t frames = head.frames();
    const auto before = store_->stats();
    std::atomic<int64_t> left{limit};
    std::vector<std::vector<float>> micros(static_cast<size_t>(writers));
    std::vector<std::thread> threads;
    auto begin = Clock::now();
    for (int w = 0; w < writers; ++w) {
      threads.emplace_back([&, w] {
        std::mt19937_64 random(static_cast<uint64_t>(w) + salt_ * 1000);
        while (left.fetch_sub(1) > 0 && Seconds(begin) < seconds) {
          auto id = Must(head.IdAt(static_cast<int64_t>(random() % static_cast<uint64_t>(frames))));
          zn::FrameBatch changes = OnePosition(random());
          auto start = Clock::now();
          Must(room_->Edit(id, changes, {}, kContext));
          micros[static_cast<size_t>(w)].push_back(static_cast<float>(Seconds(start) * 1e6));
        }
      });
    }
    for (std::thread& thread : threads) thread.join();
    double elapsed = Seconds(begin);
    ++salt_;
    std::vector<float> all;
    for (auto& part : micros) all.insert(all.end(), part.begin(), part.end());
    std::sort(all.begin(), all.end());
    const auto after = store_->stats();
    Rate rate;
    if (all.empty()) return rate;
    rate.edits = static_cast<int64_t>(all.size());
    rate.per_second = static_cast<double>(all.size()) / elapsed;
    rate.bytes_each = static_cast<double>(after.log_bytes_written - before.log_bytes_written +
                                          after.pack_bytes_written - before.pack_bytes_written) /
                      static_cast<double>(all.size());
    rate.p50 = static_cast<double>(all[all.size() / 2]);
    rate.p999 =
        static_cast<double>(all[static_cast<size_t>(static_cast<double>(all.size() - 1) * 0.999)]);
    return rate;
  }

  // Small appends with fdatasync in the same folder: what the device allows.
  double SyncRate(size_t bytes) {
    std::string path = directory_ + "/sync";
    int fd = open(path.c_str(), O_CREAT | O_WRONLY | O_TRUNC | O_CLOEXEC, 0600);
    if (fd < 0) std::exit(1);
    std::vector<char> block(bytes, 'x');
    int64_t done = 0;
    auto begin = Clock::now();
    while (Seconds(begin) < seconds_) {
      if (write(fd, block.data(), block.size()) != static_cast<ssize_t>(block.size()) ||
          fdatasync(fd) != 0)
        std::exit(1);
      ++done;
    }
    double rate = static_cast<double>(done) / Seconds(begin);
    close(fd);
    unlink(path.c_str());
    return rate;
  }

  // Milliseconds to open the store: after a clean end, and after a writer was killed in the middle
  // of edits.
  double OpenClean() {
    Close();
    auto begin = Clock::now();
    Open();
    double ms = Seconds(begin) * 1e3;
    room_ = Must(store_->OpenRoom("room"));
    return ms;
  }
  double OpenAfterCrash() {
    Close();
    std::fflush(nullptr);
    pid_t child = fork();
    if (child == 0) {
      Open();
      room_ = Must(store_->OpenRoom("room"));
      std::thread([] {
        usleep(300000);
        kill(getpid(), SIGKILL);
      }).detach();
      Edits(4, INT64_MAX, 60);
      _exit(0);
    }
    int status = 0;
    waitpid(child, &status, 0);
    if (!WIFSIGNALED(status)) {
      std::fprintf(stderr, "the writer that was to be killed ended by itself\n");
      std::exit(1);
    }
    auto begin = Clock::now();
    Open();
    double ms = Seconds(begin) * 1e3;
    room_ = Must(store_->OpenRoom("room"));
    return ms;
  }

  static std::string ForkName(std::string state, int i) {
    std::replace(state.begin(), state.end(), ' ', '-');
    return "fork-" + state + "-" + std::to_string(i);
  }

  void Measure(const char* state) {
    double sync4k = SyncRate(4096);
    double fork_us = Median(31, [&](int i) {
      Must(
          store_->ForkRoom("room", {}, ForkName(state, i), kContext));
    });
    // Into forks, so that the room itself stays what it was.
    auto other = Must(store_->OpenRoom(ForkName(state, 0)));
    double insert_us = Median(
        31, [&](int i) { Must(other->Insert(0, Frames(1, static_cast<uint64_t>(i)), kContext)); });
    double append_us = Median(
        31, [&](int i) { Must(other->Append(Frames(1, static_cast<uint64_t>(i)), kContext)); });
    // Durability costs a sync whatever the tree does: beside it stands what one sync takes.
    Rate one = Edits(1, INT64_MAX, seconds_);
    Rate many = Edits(64, INT64_MAX, seconds_);
    double clean = OpenClean();
    double crash = OpenAfterCrash();
    std::printf(
        "{\"frames\": %lld, \"state\": \"%s\", \"sync_us\": %.1f, \"fork_us\": %.1f, "
        "\"insert_us\": %.1f, "
        "\"append_us\": %.1f, \"edits_1\": %.0f, \"edits_64\": %.0f, \"bytes_1\": %.0f, "
        "\"bytes_64\": %.0f, "
        "\"p999_64_us\": %.0f, \"syncs\": %.0f, \"open_clean_ms\": %.2f, \"open_crash_ms\": "
        "%.2f}\n",
        static_cast<long long>(room_->Head().frames()), state, 1e6 / sync4k, fork_us, insert_us,
        append_us, one.per_second, many.per_second, one.bytes_each, many.bytes_each, many.p999,
        sync4k, clean, crash);
    std::fflush(stdout);
  }

  void Close() {
    room_.reset();
    store_.reset();
  }

 private:
  std::string directory_;
  double seconds_;
  uint64_t salt_ = 1;
  std::unique_ptr<zn::Store> store_;
  std::shared_ptr<zn::Room> room_;
};

}  // namespace

int main(int argc, char** argv) {
  std::string directory;
  int64_t frames = 1000, edits = 0;
  double seconds = 3, edit_seconds = 1e9;
  for (int i = 1; i + 1 < argc; i += 2) {
    std::string_view name = argv[i];
    if (name == "--dir")
      directory = argv[i + 1];
    else if (name == "--frames")
      frames = std::atoll(argv[i + 1]);
    else if (name == "--edits")
      edits = std::atoll(argv[i + 1]);
    else if (name == "--seconds")
      seconds = std::atof(argv[i + 1]);
    else if (name == "--edit-seconds")
      edit_seconds = std::atof(argv[i + 1]);
    else
      return 16;
  }
  if (directory.empty() || frames < 1) return 16;
  Bench bench(directory, seconds);
  bench.Open();
  bench.Build(frames);
  bench.Measure("fresh");
  if (edits > 0) {
    auto begin = Clock::now();
    auto rate = bench.Edits(64, edits, edit_seconds);
    std::fprintf(stderr, "%lld edits in %.1f s (%.0f/s)\n", static_cast<long long>(rate.edits),
                 Seconds(begin), rate.per_second);
    bench.Measure(("after " + std::to_string(rate.edits) + " edits").c_str());
  }
  bench.Close();
  return 0;
}
