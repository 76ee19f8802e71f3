// TLS sessions over a socket pair, against OpenSSL's own client: what a client on a slow or broken
// line would lose.
#include "http/tls.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <csignal>
#include <fstream>

#include "http/handler.h"
#include "support/temp_dir.h"

namespace zn::server {
namespace {

using Step = TlsSession::Step;

// A certificate that signs itself, and its key, as PEM files.
void WriteCertificate(const std::string& certificate_file, const std::string& key_file) {
  EVP_PKEY* key = EVP_EC_gen("prime256v1");
  X509* certificate = X509_new();
  X509_set_version(certificate, 2);
  ASN1_INTEGER_set(X509_get_serialNumber(certificate), 1);
  X509_gmtime_adj(X509_getm_notBefore(certificate), 0);
  X509_gmtime_adj(X509_getm_notAfter(certificate), 3600);
  X509_set_pubkey(certificate, key);
  X509_sign(certificate, key, EVP_sha256());
  FILE* file = std::fopen(certificate_file.c_str(), "w");
  PEM_write_X509(file, certificate);
  std::fclose(file);
  file = std::fopen(key_file.c_str(), "w");
  PEM_write_PrivateKey(file, key, nullptr, nullptr, 0, nullptr, nullptr);
  std::fclose(file);
  X509_free(certificate);
  EVP_PKEY_free(key);
}

class TlsTest : public testing::Test {
 protected:
  void SetUp() override {
    std::signal(SIGPIPE, SIG_IGN);
    certificate_ = dir_.path() + "/c.pem";
    key_ = dir_.path() + "/k.pem";
    WriteCertificate(certificate_, key_);
    auto loaded = TlsContext::Load(certificate_, key_);
    ASSERT_TRUE(loaded) << loaded.error().message;
    context_ = std::move(*loaded);
    client_context_ = SSL_CTX_new(TLS_client_method());
    SSL_CTX_set_mode(client_context_, SSL_MODE_AUTO_RETRY);
    Connect();
  }
  void TearDown() override {
    Disconnect();
    SSL_CTX_free(client_context_);
  }

  void Connect() {
    std::array<int, 2> ends{};
    ASSERT_EQ(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, ends.data()), 0);
    server_end_ = ends[0];
    client_end_ = ends[1];
    session_ = context_->NewSession(server_end_);
    client_ = SSL_new(client_context_);
    SSL_set_fd(client_, client_end_);
  }
  void Disconnect() {
    session_.reset();
    SSL_free(client_);
    ::close(server_end_);
    if (client_end_ >= 0) ::close(client_end_);
  }
  void Shake() {
    bool client_done = false;
    Step step = Step::kWantRead;
    for (int i = 0; i < 20 && !(client_done && step == Step::kDone); ++i) {
      if (!client_done) client_done = SSL_connect(client_) == 1;
      if (step != Step::kDone) step = session_->Handshake();
    }
    ASSERT_TRUE(client_done);
    ASSERT_EQ(step, Step::kDone);
  }
  /// What the client can read now.
  std::string ClientReads() {
    std::string out;
    std::array<char, 4096> part{};
    size_t bytes = 0;
    while (SSL_read_ex(client_, part.data(), part.size(), &bytes) == 1)
      out.append(part.data(), bytes);
    return out;
  }

  TempDir dir_;
  std::string certificate_, key_;
  std::unique_ptr<TlsContext> context_;
  SSL_CTX* client_context_ = nullptr;
  SSL* client_ = nullptr;
  int server_end_ = -1, client_end_ = -1;
  std::unique_ptr<TlsSession> session_;
};

TEST_F(TlsTest, HandshakeWaitsForEachStep) {
  EXPECT_EQ(session_->Handshake(), Step::kWantRead) << "nobody said anything yet";
  Shake();
  EXPECT_EQ(session_->Peek(), Step::kWantRead);
}

TEST_F(TlsTest, ReadsWhatWasSentAndSeesTheEnd) {
  Shake();
  ASSERT_EQ(SSL_write(client_, "hello", 5), 5);
  EXPECT_EQ(session_->Peek(), Step::kDone);
  std::array<char, 3> part{};
  size_t bytes = 0;
  ASSERT_EQ(session_->Read(part, &bytes), Step::kDone);
  EXPECT_EQ(std::string_view(part.data(), bytes), "hel");
  ASSERT_EQ(session_->Read(part, &bytes), Step::kDone);
  EXPECT_EQ(std::string_view(part.data(), bytes), "lo");
  EXPECT_EQ(session_->Read(part, &bytes), Step::kWantRead);
  SSL_shutdown(client_);
  EXPECT_EQ(session_->Read(part, &bytes), Step::kClosed);
}

TEST_F(TlsTest, ACutLineIsNotAnEnd) {
  Shake();
  ::close(client_end_);
  client_end_ = -1;
  std::array<char, 3> part{};
  size_t bytes = 0;
  EXPECT_EQ(session_->Read(part, &bytes), Step::kFailed);
  session_->Shutdown();  // nothing, and no signal
}

TEST_F(TlsTest, OutputArrivesWholeThroughAFullSocket) {
  Shake();
  Output out;
  std::string wanted;
  // Text and pinned pieces of every size around a record's.
  for (size_t size : {1u, 100u, 16383u, 16384u, 16385u, 40000u, 3u, 1u << 20, 5u}) {
    std::string piece(size, static_cast<char>('a' + size % 26));
    wanted += "head" + piece;
    out.text().append("head");
    out.Pin(BufferOf(std::move(piece)));
  }
  uint64_t sent = 0;
  std::string got;
  int status = 0, rounds = 0;
  while ((status = out.Send(*session_, &sent)) == 0) {
    ASSERT_LT(++rounds, 10000);
    Output moved = std::move(out);  // as a connection that is blocked does
    out = std::move(moved);
    got += ClientReads();
  }
  got += ClientReads();
  EXPECT_EQ(status, 1);
  EXPECT_GT(rounds, 0) << "the socket took everything at once: this test shows nothing";
  EXPECT_EQ(sent, wanted.size());
  EXPECT_TRUE(got == wanted);
}

TEST_F(TlsTest, WritingToAClientThatIsGoneFails) {
  Shake();
  ::close(client_end_);
  client_end_ = -1;
  Output out;
  out.text().append(1 << 20, 'x');
  uint64_t sent = 0;
  EXPECT_EQ(out.Send(*session_, &sent), -1);
}

TEST_F(TlsTest, PlainHttpIsTold) {
  constexpr std::string_view kRequest = "GET / HTTP/1.1\r\n\r\n";
  ASSERT_EQ(::write(client_end_, kRequest.data(), kRequest.size()),
            static_cast<ssize_t>(kRequest.size()));
  EXPECT_EQ(session_->Handshake(), Step::kFailed);
  EXPECT_TRUE(session_->got_plain_http());
}

TEST_F(TlsTest, AFailedReloadChangesNothing) {
  std::ofstream(key_) << "nonsense";
  EXPECT_FALSE(context_->Reload());
  Disconnect();
  Connect();
  Shake();
}

TEST_F(TlsTest, SessionsOutliveAReload) {
  Shake();
  WriteCertificate(certificate_, key_);
  ASSERT_TRUE(context_->Reload());
  ASSERT_EQ(SSL_write(client_, "x", 1), 1);
  std::array<char, 3> part{};
  size_t bytes = 0;
  EXPECT_EQ(session_->Read(part, &bytes), Step::kDone);
}

}  // namespace
}  // namespace zn::server
