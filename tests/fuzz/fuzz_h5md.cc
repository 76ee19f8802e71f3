// The H5MD and asebytes readers on arbitrary bytes. The file is a memory file, opened by its name
// under /proc like any other: what is mapped, what is read by chunk and what goes through libhdf5
// are all reached. libhdf5 itself has crashes of its own; run with -ignore_crashes=1 and look for
// our frames on the stack.
#include <sys/mman.h>
#include <unistd.h>

#include <cstdint>
#include <string>

#include "zn/formats/reader.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace zn;
  using namespace zn::formats;
  int descriptor = memfd_create("input", MFD_CLOEXEC);
  if (descriptor < 0 || write(descriptor, data, size) != static_cast<ssize_t>(size)) return 0;
  std::string path = "/proc/self/fd/" + std::to_string(descriptor);
  for (const char* format : {"h5md", "asebytes-h5"}) {
    ReadOptions options;
    options.force = true;
    options.unwrap = true;
    options.threads = 1;
    options.batch_bytes = 1 << 16;
    auto reader = OpenReader(path, options, format);
    for (int batches = 0; reader && batches < 16; ++batches) {
      auto batch = (*reader)->Next();
      if (!batch || !*batch) break;
      if (!ValidateBatch(**batch)) __builtin_trap();
    }
  }
  close(descriptor);
  return 0;
}
