// Random reads of single frames from a store that is larger than the memory allowed: the engine
// against LMDB in C, in this process. pressure.sh sets the limit (a cgroup) and calls this twice.
//
//   zn-bench-pressure make DIR FRAMES ATOMS          writes DIR/store and DIR/lmdb with the same
//   positions (float32) zn-bench-pressure read DIR engine|lmdb SECONDS   reads random frames,
//   prints JSON
#include <lmdb.h>
#include <sys/stat.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <random>
#include <string>
#include <vector>

#include "zn/engine/store.h"

namespace {

using Clock = std::chrono::steady_clock;

[[noreturn]] void Die(const std::string& message) {
  std::fprintf(stderr, "%s\n", message.c_str());
  std::exit(1);
}

template <class T>
T Must(zn::Result<T> result) {
  if (!result) Die(result.error().message);
  return std::move(*result);
}

void Lmdb(int code) {
  if (code != 0) Die(mdb_strerror(code));
}

MDB_env* OpenLmdb(const std::string& directory, size_t bytes, unsigned flags) {
  MDB_env* env = nullptr;
  Lmdb(mdb_env_create(&env));
  Lmdb(mdb_env_set_mapsize(env, bytes));
  Lmdb(mdb_env_open(env, directory.c_str(), flags, 0600));
  return env;
}

// Positions of frame `number`: incompressible, so that both hold the same number of bytes.
void Fill(int64_t number, float* out, size_t count) {
  std::mt19937 random(static_cast<uint32_t>(number));
  for (size_t i = 0; i < count; ++i) {
    uint32_t bits = 0x3f800000u | (random() >> 9);  // [1, 2)
    std::memcpy(out + i, &bits, 4);
  }
}

int Make(const std::string& directory, int64_t frames, int64_t atoms) {
  const size_t row = static_cast<size_t>(atoms) * 3;
  zn::StoreOptions options;
  options.create = true;
  auto store = Must(zn::Store::Open(directory + "/store", options));
  auto room = Must(store->CreateRoom("room", {}, {"bench", ""}));
  auto appender = Must(room->StartBulkAppend({}));
  mkdir((directory + "/lmdb").c_str(), 0700);
  MDB_env* env = OpenLmdb(directory + "/lmdb",
                          static_cast<size_t>(frames) * (row * 4 + 8192) + (64u << 20), MDB_NOSYNC);
  constexpr int64_t kBatch = 1024;
  for (int64_t done = 0; done < frames; done += kBatch) {
    const int64_t n = std::min(kBatch, frames - done);
    std::vector<float> values(static_cast<size_t>(n) * row);
    MDB_txn* txn = nullptr;
    MDB_dbi dbi = 0;
    Lmdb(mdb_txn_begin(env, nullptr, 0, &txn));
    Lmdb(mdb_dbi_open(txn, nullptr, MDB_INTEGERKEY, &dbi));
    for (int64_t i = 0; i < n; ++i) {
      float* at = values.data() + static_cast<size_t>(i) * row;
      Fill(done + i, at, row);
      uint64_t number = static_cast<uint64_t>(done + i);
      MDB_val key{sizeof number, &number}, value{row * 4, at};
      Lmdb(mdb_put(txn, dbi, &key, &value, MDB_APPEND));
    }
    Lmdb(mdb_txn_commit(txn));
    zn::FrameBatch batch;
    batch.n_atoms.assign(static_cast<size_t>(n), static_cast<int32_t>(atoms));
    zn::Column column;
    column.name = "arrays.positions";
    column.kind = zn::FieldKind::kAtom;
    column.dtype = zn::DType::kFloat32;
    column.inner = {3};
    column.data = zn::Buffer::Own(std::move(values));
    batch.columns.push_back(std::move(column));
    if (auto ok = appender->Append(batch); !ok) Die(ok.error().message);
  }
  Must(appender->Finish({"bench", ""}));
  Lmdb(mdb_env_sync(env, 1));
  mdb_env_close(env);
  return 0;
}

int Read(const std::string& directory, const std::string& what, double seconds) {
  std::mt19937_64 random(1);
  int64_t reads = 0, frames = 0;
  double sum = 0;
  std::vector<float> micros;
  auto begin = Clock::now();
  auto elapsed = [&] { return std::chrono::duration<double>(Clock::now() - begin).count(); };
  // Every read looks at all of the frame's values: a pointer into a map is not a read.
  auto use = [&](const void* data, size_t bytes) {
    float total = 0;
    for (size_t i = 0; i + 4 <= bytes; i += 4) {
      float value;
      std::memcpy(&value, static_cast<const char*>(data) + i, 4);
      total += value;
    }
    sum += static_cast<double>(total);
  };
  auto loop = [&](auto read) {
    while (elapsed() < seconds) {
      auto start = Clock::now();
      read(static_cast<int64_t>(random() % static_cast<uint64_t>(frames)));
      micros.push_back(std::chrono::duration<float, std::micro>(Clock::now() - start).count());
      ++reads;
    }
  };
  if (what == "engine") {
    zn::StoreOptions options;
    options.read_only = true;
    auto store = Must(zn::Store::Open(directory + "/store", options));
    zn::Snapshot head = Must(store->OpenRoom("room"))->Head();
    frames = head.frames();
    const auto field = head.FindField("arrays.positions");
    begin = Clock::now();
    loop([&](int64_t number) {
      auto row = Must(head.ReadRow(*field, Must(head.IdAt(number))));
      use(row->bytes.data(), row->bytes.size());
    });
  } else {
    MDB_env* env = OpenLmdb(directory + "/lmdb", size_t{1} << 40, MDB_RDONLY | MDB_NORDAHEAD);
    MDB_txn* txn = nullptr;
    MDB_dbi dbi = 0;
    Lmdb(mdb_txn_begin(env, nullptr, MDB_RDONLY, &txn));
    Lmdb(mdb_dbi_open(txn, nullptr, MDB_INTEGERKEY, &dbi));
    MDB_stat stat;
    Lmdb(mdb_stat(txn, dbi, &stat));
    frames = static_cast<int64_t>(stat.ms_entries);
    begin = Clock::now();
    loop([&](int64_t number) {
      uint64_t wanted = static_cast<uint64_t>(number);
      MDB_val key{sizeof wanted, &wanted}, value;
      Lmdb(mdb_get(txn, dbi, &key, &value));
      use(value.mv_data, value.mv_size);
    });
    mdb_txn_abort(txn);
    mdb_env_close(env);
  }
  double total = elapsed();
  std::sort(micros.begin(), micros.end());
  std::printf(
      "{\"what\": \"%s\", \"frames\": %lld, \"reads\": %lld, \"rate\": %.0f, \"p50_us\": %.1f, "
      "\"p99_us\": %.1f, \"sum\": %g}\n",
      what.c_str(), static_cast<long long>(frames), static_cast<long long>(reads),
      static_cast<double>(reads) / total, static_cast<double>(micros[micros.size() / 2]),
      static_cast<double>(micros[micros.size() * 99 / 100]), sum);
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  const std::string mode = argc > 1 ? argv[1] : "";
  if (mode == "make" && argc == 5) return Make(argv[2], std::atoll(argv[3]), std::atoll(argv[4]));
  if (mode == "read" && argc == 5) return Read(argv[2], argv[3], std::atof(argv[4]));
  std::fprintf(stderr, "zn-bench-pressure make DIR FRAMES ATOMS | read DIR engine|lmdb SECONDS\n");
  return 16;
}
