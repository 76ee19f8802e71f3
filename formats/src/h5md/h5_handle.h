// libhdf5 as values: its one lock, handles that close themselves, its error stack as text.
#pragma once

#include <hdf5.h>

#include <memory>
#include <mutex>
#include <string>

#include "zn/engine/error.h"

namespace zn::formats::h5 {

/// Held around every call into libhdf5: the library has one global lock where it has any, and its
/// error stack must be read before another call replaces it. May be nested. The first one sets the
/// library up: no printing, no plugins.
class Lock {
 public:
  Lock();

 private:
  std::unique_lock<std::recursive_mutex> lock_;
};

/// An HDF5 identifier, closed with the last copy.
class Handle {
 public:
  Handle() = default;
  /// Takes `id`; a negative one makes an empty handle.
  Handle(hid_t id, herr_t (*close)(hid_t));

  explicit operator bool() const { return owner_ != nullptr; }
  hid_t get() const { return owner_ ? owner_->id : -1; }

 private:
  struct Owner {
    Owner(hid_t taken, herr_t (*closer)(hid_t)) : id(taken), close(closer) {}
    ~Owner();
    hid_t id;
    herr_t (*close)(hid_t);
  };
  std::shared_ptr<const Owner> owner_;
};

/// The innermost message of the library's error stack, which is cleared. REQUIRES: a Lock held
/// since the failed call.
std::string LastMessage();

/// "FILE: OBJECT: WHAT (libhdf5: ...); REMEDY". `object` and `remedy` may be empty; with `library`
/// the error stack is read.
Error MakeError(ErrorCode code, const std::string& file, const std::string& object,
                const std::string& what, const std::string& remedy = "", bool library = false);

}  // namespace zn::formats::h5
