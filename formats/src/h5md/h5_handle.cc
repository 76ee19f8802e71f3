#include "h5md/h5_handle.h"

namespace zn::formats::h5 {
namespace {

std::recursive_mutex& GlobalMutex() {
  // Never destroyed: handles in statics of other files may be closed after this file's statics.
  static auto* mutex = new std::recursive_mutex;
  return *mutex;
}

herr_t KeepFirst(unsigned n, const H5E_error2_t* error, void* text) {
  if (n == 0 && error->desc != nullptr) *static_cast<std::string*>(text) = error->desc;
  return 0;
}

}  // namespace

Lock::Lock() : lock_(GlobalMutex()) {
  static const bool ready = [] {
    H5open();
    // Filters that are not compiled in would be looked for as shared objects in a folder that a
    // file cannot name but an environment variable can: an importer of strangers' files loads none.
    H5PLset_loading_state(0);
    return true;
  }();
  (void)ready;
  // The error stack belongs to the thread.
  thread_local bool quiet = false;
  if (!quiet) {
    H5Eset_auto2(H5E_DEFAULT, nullptr, nullptr);
    quiet = true;
  }
}

Handle::Handle(hid_t id, herr_t (*close)(hid_t)) {
  if (id >= 0) owner_ = std::make_shared<const Owner>(id, close);
}

Handle::Owner::~Owner() {
  Lock lock;
  close(id);
}

std::string LastMessage() {
  std::string text;
  H5Ewalk2(H5E_DEFAULT, H5E_WALK_UPWARD, KeepFirst, &text);
  H5Eclear2(H5E_DEFAULT);
  return text;
}

Error MakeError(ErrorCode code, const std::string& file, const std::string& object,
                const std::string& what, const std::string& remedy, bool library) {
  std::string message = file + ": ";
  if (!object.empty()) message += object + ": ";
  message += what;
  if (library) {
    std::string inner = LastMessage();
    if (!inner.empty()) message += " (libhdf5: " + inner + ")";
  }
  if (!remedy.empty()) message += "; " + remedy;
  return Error{code, std::move(message)};
}

}  // namespace zn::formats::h5
