// zn.rounded against plain blosc on one field's chunks: bytes, encoding, decoding, single rows.
//   zn-bench-rounded FILE f32|f64 ATOMS FRAMES_PER_CHUNK     FILE: raw little-endian (frames,
//   ATOMS, 3)
// bench/rounded.py makes the files. Each figure is the best of repeated passes over the whole file,
// on one thread.
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <iterator>
#include <random>
#include <string>
#include <vector>

#include "zn/engine/codec.h"

namespace {

using Clock = std::chrono::steady_clock;

template <class Pass>
double BestSeconds(Pass pass) {
  double best = 1e9;
  const auto end = Clock::now() + std::chrono::milliseconds(700);
  do {
    const auto begin = Clock::now();
    pass();
    best = std::min(best, std::chrono::duration<double>(Clock::now() - begin).count());
  } while (Clock::now() < end);
  return best;
}

void Require(bool holds, const char* what) {
  if (holds) return;
  std::fprintf(stderr, "zn-bench-rounded: %s\n", what);
  std::exit(1);
}

}  // namespace

int main(int argc, char** argv) {
  Require(argc == 5, "usage: zn-bench-rounded FILE f32|f64 ATOMS FRAMES_PER_CHUNK");
  std::ifstream in(argv[1], std::ios::binary);
  const std::vector<char> file{std::istreambuf_iterator<char>(in),
                               std::istreambuf_iterator<char>()};
  const zn::DType dtype = std::string(argv[2]) == "f32" ? zn::DType::kFloat32 : zn::DType::kFloat64;
  const int64_t atoms = std::atoll(argv[3]), frames = std::atoll(argv[4]);
  const zn::Shape shape{frames, atoms, 3};
  const size_t row = static_cast<size_t>(atoms) * 3 * zn::ItemSize(dtype),
               size = row * static_cast<size_t>(frames);
  Require(size > 0 && file.size() >= size, "the file holds no chunk");
  const auto raw = std::as_bytes(std::span(file));
  const size_t chunks = file.size() / size;
  const double gigabytes = static_cast<double>(chunks * size) / 1e9;

  const std::pair<const char*, std::string> codecs[] = {{"plain", zn::DefaultCodecs(dtype)},
                                                        {"rounded", zn::RoundedCodecs()}};
  for (const auto& [name, list] : codecs) {
    const auto pipeline = zn::CodecPipeline::Create(list, dtype).value();
    std::vector<std::vector<std::byte>> encoded(chunks);
    const double encoding = BestSeconds([&] {
      for (size_t i = 0; i < chunks; ++i)
        encoded[i] = pipeline->Encode(raw.subspan(i * size, size), shape).value();
    });
    size_t stored = 0;
    for (const auto& chunk : encoded) stored += chunk.size();
    std::vector<std::byte> out(size);
    for (size_t i = 0; i < chunks; ++i)
      Require(pipeline->Decode(encoded[i], shape, out) &&
                  std::memcmp(out.data(), raw.data() + i * size, size) == 0,
              "a chunk differs");
    const double decoding = BestSeconds([&] {
      for (const auto& chunk : encoded)
        Require(pipeline->Decode(chunk, shape, out).has_value(), "a chunk does not decode");
    });
    constexpr int kRows = 500;
    std::mt19937 random(1);
    const double rows = BestSeconds([&] {
      for (int k = 0; k < kRows; ++k)
        Require(
            pipeline
                ->DecodeRows(encoded[random() % chunks], shape,
                             static_cast<int64_t>(random()) % frames, 1, std::span(out).first(row))
                .has_value(),
            "a row does not decode");
    });
    std::printf("%s %.2f %.2f %.2f %.1f\n", name, gigabytes * 1e9 / static_cast<double>(stored),
                gigabytes / encoding, gigabytes / decoding, rows / kRows * 1e6);
  }
  return 0;
}
