// TLS 1.2 and 1.3 on a connection's own, non-blocking socket, by OpenSSL; the only file of the
// server that sees its TLS.
//
// OpenSSL reads and writes the socket itself. Nothing here waits: every step says what to wait for.
#pragma once

#include <sys/uio.h>

#include <memory>
#include <mutex>
#include <span>
#include <string>

#include "zn/engine/error.h"

namespace zn::server {

/// One connection's. For the connection's thread alone. SIGPIPE must be ignored by the process.
class TlsSession {
 public:
  enum class Step {
    kDone,
    kWantRead,   // again once the socket can be read
    kWantWrite,  // again once it can be written
    kClosed,     // the client ended it in order
    kFailed,     // broken, or not TLS as it is spoken here
  };

  virtual ~TlsSession() = default;
  /// Until it is kDone, nothing else may be called but Shutdown.
  virtual Step Handshake() = 0;
  virtual Step Read(std::span<char> into, size_t* bytes) = 0;
  /// kDone: Read would give bytes now.
  virtual Step Peek() = 0;
  /// Takes bytes from the front of `pieces`, small ones together, as far as one record goes. After
  /// kWantWrite the next call must begin with the same bytes.
  virtual Step Write(std::span<const iovec> pieces, size_t* bytes) = 0;
  /// Tells the client that nothing follows, if the socket takes it at once: it can then tell an end
  /// from a cut.
  virtual void Shutdown() = 0;
  /// After a handshake that failed: did the client speak plain HTTP?
  virtual bool got_plain_http() const = 0;
};

/// The certificate and settings of a server. Thread-safe.
class TlsContext {
 public:
  /// PEM files: the certificate followed by those that signed it, and its key without a passphrase.
  /// They are read again by Reload, so they may be replaced. kInvalidArgument says which of them is
  /// wrong, and how.
  static Result<std::unique_ptr<TlsContext>> Load(std::string certificate_file,
                                                  std::string key_file);
  virtual ~TlsContext() = default;
  /// Sessions from now on have what the files hold now; on failure, what they had before.
  virtual Result<> Reload() = 0;
  virtual std::unique_ptr<TlsSession> NewSession(int socket) = 0;
  /// When the certificate ends, as "Jan  2 03:04:05 2027 GMT".
  virtual std::string expires() const = 0;
};

}  // namespace zn::server
