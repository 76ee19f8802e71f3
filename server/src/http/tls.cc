#include "http/tls.h"

#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <fstream>

namespace zn::server {
namespace {

constexpr size_t kRecord = 16 << 10;  // bytes of a TLS record at most

template <auto Free>
struct Freed {
  template <class T>
  void operator()(T* pointer) const {
    Free(pointer);
  }
};
using ContextPointer = std::shared_ptr<SSL_CTX>;
using SslPointer = std::unique_ptr<SSL, Freed<SSL_free>>;

// What OpenSSL says went wrong last; its queue is empty afterwards.
std::string TakeReason() {
  const unsigned long code = ERR_peek_last_error();
  const char* reason = ERR_reason_error_string(code);
  ERR_clear_error();
  return reason ? reason : "unknown reason";
}

class Session final : public TlsSession {
 public:
  Session(ContextPointer context, int socket)
      : context_(std::move(context)), ssl_(SSL_new(context_.get())) {
    if (ssl_ && SSL_set_fd(ssl_.get(), socket) != 1) ssl_.reset();
  }

  Step Handshake() override {
    if (!ssl_) return Step::kFailed;
    ERR_clear_error();
    const int result = SSL_accept(ssl_.get());
    if (result == 1) {
      usable_ = true;
      return Step::kDone;
    }
    const unsigned long code = ERR_peek_error();
    plain_http_ = ERR_GET_LIB(code) == ERR_LIB_SSL && ERR_GET_REASON(code) == SSL_R_HTTP_REQUEST;
    return StepOf(result);
  }

  Step Read(std::span<char> into, size_t* bytes) override {
    ERR_clear_error();
    return StepOf(SSL_read_ex(ssl_.get(), into.data(), into.size(), bytes));
  }

  Step Peek() override {
    char byte;
    size_t bytes = 0;
    ERR_clear_error();
    return StepOf(SSL_peek_ex(ssl_.get(), &byte, 1, &bytes));
  }

  Step Write(std::span<const iovec> pieces, size_t* bytes) override {
    // A head and its small body are one record and one packet.
    static thread_local std::array<char, kRecord> gathered;
    const void* data = pieces.front().iov_base;
    size_t size = pieces.front().iov_len;
    if (size < kRecord && pieces.size() > 1) {
      size = 0;
      for (const iovec& piece : pieces) {
        const size_t n = std::min(piece.iov_len, kRecord - size);
        std::memcpy(gathered.data() + size, piece.iov_base, n);
        size += n;
        if (size == kRecord) break;
      }
      data = gathered.data();
    }
    ERR_clear_error();
    return StepOf(SSL_write_ex(ssl_.get(), data, size, bytes));
  }

  void Shutdown() override {
    if (!std::exchange(usable_, false)) return;  // OpenSSL forbids it after a failure
    ERR_clear_error();
    SSL_shutdown(ssl_.get());
  }

  bool got_plain_http() const override { return plain_http_; }

 private:
  Step StepOf(int result) {
    if (result > 0) return Step::kDone;
    switch (SSL_get_error(ssl_.get(), result)) {
      case SSL_ERROR_WANT_READ:
        return Step::kWantRead;
      case SSL_ERROR_WANT_WRITE:
        return Step::kWantWrite;
      case SSL_ERROR_ZERO_RETURN:
        return Step::kClosed;
      default:
        usable_ = false;
        ERR_clear_error();
        return Step::kFailed;
    }
  }

  ContextPointer context_;  // a reload must not take it away
  SslPointer ssl_;
  bool usable_ = false, plain_http_ = false;
};

// Browsers ask for h2 first; who offers only what we do not speak is told nothing and may find out.
int ChooseProtocol(SSL*, const unsigned char** chosen, unsigned char* chosen_size,
                   const unsigned char* offered, unsigned offered_size, void*) {
  static constexpr unsigned char kOurs[] = "\x08http/1.1";
  unsigned char* found = nullptr;
  if (SSL_select_next_proto(&found, chosen_size, kOurs, sizeof kOurs - 1, offered, offered_size) !=
      OPENSSL_NPN_NEGOTIATED)
    return SSL_TLSEXT_ERR_NOACK;
  *chosen = found;
  return SSL_TLSEXT_ERR_OK;
}

// OpenSSL would ask for it on the terminal.
int NoPassphrase(char*, int, int, void*) { return 0; }

Error BadFile(const std::string& what, const std::string& path, const std::string& why) {
  return Error{ErrorCode::kInvalidArgument, what + " " + path + ": " + why};
}

Result<> CheckReadable(const std::string& what, const std::string& path) {
  std::ifstream file(path);
  if (!file || file.peek() == std::ifstream::traits_type::eof())
    return BadFile(
        what, path,
        file ? "the file is empty" : std::string("cannot be read: ") + std::strerror(errno));
  return {};
}

Result<ContextPointer> MakeContext(const std::string& certificate, const std::string& key) {
  ZN_RETURN_IF_ERROR(CheckReadable("certificate", certificate));
  ZN_RETURN_IF_ERROR(CheckReadable("key", key));
  ERR_clear_error();
  ContextPointer made(SSL_CTX_new(TLS_server_method()), SSL_CTX_free);
  SSL_CTX* context = made.get();
  if (!context || SSL_CTX_set_min_proto_version(context, TLS1_2_VERSION) != 1)
    return Error{ErrorCode::kInternal, "TLS: " + TakeReason()};
  SSL_CTX_set_options(context, SSL_OP_NO_RENEGOTIATION | SSL_OP_CIPHER_SERVER_PREFERENCE |
                                   SSL_OP_PRIORITIZE_CHACHA);
  // A blocked write is repeated from another place; idle connections keep no buffers.
  SSL_CTX_set_mode(context, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER |
                                SSL_MODE_RELEASE_BUFFERS);
  SSL_CTX_set_session_cache_mode(
      context, SSL_SESS_CACHE_OFF);  // tickets resume sessions and cost no memory here
  SSL_CTX_set_alpn_select_cb(context, ChooseProtocol, nullptr);
  SSL_CTX_set_default_passwd_cb(context, NoPassphrase);
  if (SSL_CTX_use_certificate_chain_file(context, certificate.c_str()) != 1)
    return BadFile("certificate", certificate, "not a PEM certificate: " + TakeReason());
  if (SSL_CTX_use_PrivateKey_file(context, key.c_str(), SSL_FILETYPE_PEM) != 1) {
    const unsigned long code = ERR_peek_last_error();
    if (ERR_GET_LIB(code) == ERR_LIB_X509)
      return BadFile("key", key,
                     "is not the key of certificate " + certificate + ": " + TakeReason());
    return BadFile("key", key, "not a PEM key without passphrase: " + TakeReason());
  }
  if (SSL_CTX_check_private_key(context) != 1)
    return BadFile("key", key,
                   "is not the key of certificate " + certificate + ": " + TakeReason());
  return made;
}

class Context final : public TlsContext {
 public:
  Context(std::string certificate, std::string key, ContextPointer context)
      : certificate_(std::move(certificate)), key_(std::move(key)), context_(std::move(context)) {}

  Result<> Reload() override {
    ZN_ASSIGN_OR_RETURN(ContextPointer fresh, MakeContext(certificate_, key_));
    std::lock_guard lock(mutex_);
    context_ = std::move(fresh);
    return {};
  }

  std::unique_ptr<TlsSession> NewSession(int socket) override {
    return std::make_unique<Session>(current(), socket);
  }

  std::string expires() const override {
    const ContextPointer context = current();
    const X509* certificate = SSL_CTX_get0_certificate(context.get());
    std::unique_ptr<BIO, Freed<BIO_free_all>> text(BIO_new(BIO_s_mem()));
    if (!certificate || !text || ASN1_TIME_print(text.get(), X509_get0_notAfter(certificate)) != 1)
      return "";
    char* data = nullptr;
    const long size = BIO_get_mem_data(text.get(), &data);
    return std::string(data, static_cast<size_t>(size));
  }

 private:
  ContextPointer current() const {
    std::lock_guard lock(mutex_);
    return context_;
  }
  const std::string certificate_, key_;
  mutable std::mutex mutex_;
  ContextPointer context_;  // guarded by mutex_
};

}  // namespace

Result<std::unique_ptr<TlsContext>> TlsContext::Load(std::string certificate_file,
                                                     std::string key_file) {
  ZN_ASSIGN_OR_RETURN(ContextPointer context, MakeContext(certificate_file, key_file));
  return std::unique_ptr<TlsContext>(
      new Context(std::move(certificate_file), std::move(key_file), std::move(context)));
}

}  // namespace zn::server
