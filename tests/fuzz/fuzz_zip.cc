// Zip archives from anywhere: listing and reading their members ends in errors or in as many bytes
// as they claim.
#include <sys/mman.h>
#include <unistd.h>

#include <cstdint>
#include <cstdlib>
#include <string>

#include "zarr/store.h"

namespace {

using zn::formats::zarr::Store;

void ReadFolder(const Store& store, const std::string& folder, int& left, int depth) {
  const auto children = store.List(folder);
  if (!children) return;
  for (const Store::Child& child : *children) {
    if (--left < 0) return;
    const std::string key = folder.empty() ? child.name : folder + "/" + child.name;
    if (child.is_folder) {
      if (depth < 8) ReadFolder(store, key, left, depth + 1);
      continue;
    }
    const auto size = store.Size(key);
    if (!size || !*size) std::abort();
    const auto bytes = store.Get(key, 1 << 20);
    if (bytes && (!*bytes || (*bytes)->size() != **size)) std::abort();
    if (**size >= 2 && **size < 1 << 20) {
      const auto part = store.GetRange(key, 1, static_cast<size_t>(**size) - 1);
      if (part && part->size() != **size - 1) std::abort();
    }
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const int descriptor = memfd_create("input", MFD_CLOEXEC);
  if (descriptor < 0 || write(descriptor, data, size) != static_cast<ssize_t>(size)) return 0;
  const auto store = zn::formats::zarr::OpenZip("/proc/self/fd/" + std::to_string(descriptor));
  if (store) {
    int left = 64;
    ReadFolder(**store, "", left, 0);
  } else if (store.error().message.empty()) {
    std::abort();
  }
  close(descriptor);
  return 0;
}
