// Replays the corpora in ordinary builds: fuzz_replay FOLDER runs every target over the files of
// FOLDER/TARGET, so that what a fuzzer once found, and the paths it found, are part of every test
// run. A crash is the failure.
#include <cstdint>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>
#include <vector>

// The targets are compiled under names of their own: LLVMFuzzerTestOneInput of fuzz_NAME.cc is
// Fuzz_NAME.
#define ZN_FUZZ_TARGET(name) extern "C" int Fuzz_##name(const uint8_t* data, size_t size);
#include "fuzz_targets.inc"
#undef ZN_FUZZ_TARGET

namespace {

struct Target {
  const char* name;
  int (*run)(const uint8_t*, size_t);
};

constexpr Target kTargets[] = {
#define ZN_FUZZ_TARGET(name) {#name, Fuzz_##name},
#include "fuzz_targets.inc"
#undef ZN_FUZZ_TARGET
};

}  // namespace

int main(int argc, char** argv) {
  if (argc != 2) {
    std::fprintf(stderr, "usage: fuzz_replay FOLDER\n");
    return 2;
  }
  size_t all = 0;
  for (const Target& target : kTargets) {
    const std::filesystem::path folder = std::filesystem::path(argv[1]) / target.name;
    size_t files = 0;
    if (std::filesystem::is_directory(folder)) {
      for (const auto& entry : std::filesystem::directory_iterator(folder)) {
        std::ifstream in(entry.path(), std::ios::binary);
        const std::vector<char> bytes{std::istreambuf_iterator<char>(in),
                                      std::istreambuf_iterator<char>()};
        // Said before, so that a crash names its file.
        std::fprintf(stderr, "%s\n", entry.path().c_str());
        target.run(reinterpret_cast<const uint8_t*>(bytes.data()), bytes.size());
        ++files;
      }
    }
    std::printf("%s: %zu files\n", target.name, files);
    all += files;
  }
  if (all == 0) {
    std::fprintf(stderr, "no file of a corpus in %s\n", argv[1]);
    return 1;
  }
  return 0;
}
