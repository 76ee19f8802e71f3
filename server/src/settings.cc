#include "settings.h"

#include <cstdlib>
#include <cstring>
#include <fstream>

#include "http/asio.h"
#include "log.h"
#include "zn/formats/fields.h"

namespace zn::server {
namespace {

constexpr double kRemoteRate = 1000;  // requests per second, of each client beyond loopback

// Of the command line alone.
bool IsSetting(const CLI::Option& option) {
  const std::string name = option.get_name();
  return name.starts_with("--") && name != "--help" && name != "--version" && name != "--config" &&
         name != "--print-config";
}

std::string NameOf(const CLI::Option& option) { return option.get_name().substr(2); }

std::string VariableOf(std::string_view name) {
  std::string variable = "ZNDRAW_";
  for (const char c : name)
    variable += c == '-' ? '_' : static_cast<char>(std::toupper(static_cast<unsigned char>(c)));
  return variable;
}

bool OnCommandLine(const std::string& flag, int argc, const char* const* argv) {
  for (int i = 1; i < argc; ++i) {
    const std::string_view argument = argv[i];
    if (argument == flag || (argument.starts_with(flag) && argument[flag.size()] == '='))
      return true;
  }
  return false;
}

Error Wrong(const std::string& place, const std::string& what) {
  return Error{ErrorCode::kInvalidArgument, place + ": " + what};
}

// One line of a settings file: TOML's `name = value`, the value on the same line. Bare words may
// stand without quotes.
struct Line {
  std::string name;  // empty: nothing but a comment
  std::vector<std::string> values;
  bool list = false;
};

class LineParser {
 public:
  LineParser(std::string_view text, std::string place) : rest_(text), place_(std::move(place)) {}

  Result<Line> Parse() {
    Line line;
    Skip();
    if (AtEnd()) return line;
    if (rest_.front() == '[')
      return Wrong("there are no sections here: write one `name = value` a line");
    line.name = Word();
    if (!Take('=') || line.name.empty()) return Wrong("write `name = value`");
    line.list = Take('[');
    while (!line.list || !Take(']')) {
      ZN_ASSIGN_OR_RETURN(std::string value, Value());
      line.values.push_back(std::move(value));
      if (!line.list) break;
      if (!Take(',') && (rest_.empty() || rest_.front() != ']'))
        return Wrong("a list is [a, b, ...], and ends on the line where it begins");
    }
    if (!AtEnd())
      return Wrong("'" + std::string(rest_) + "' is too much: a text with blanks needs quotes");
    return line;
  }

 private:
  Error Wrong(const std::string& what) const { return zn::server::Wrong(place_, what); }
  void Skip() {
    while (!rest_.empty() &&
           (rest_.front() == ' ' || rest_.front() == '\t' || rest_.front() == '\r'))
      rest_.remove_prefix(1);
  }
  bool AtEnd() const { return rest_.empty() || rest_.front() == '#'; }
  bool Take(char c) {
    Skip();
    if (rest_.empty() || rest_.front() != c) return false;
    rest_.remove_prefix(1);
    Skip();
    return true;
  }
  std::string Word() {
    const std::string word(rest_.substr(0, rest_.find_first_of(" \t\r=,[]#\"'")));
    rest_.remove_prefix(word.size());
    return word;
  }
  // A basic string knows \" and \\, a literal one ('...') nothing.
  Result<std::string> Value() {
    if (rest_.empty() || (rest_.front() != '"' && rest_.front() != '\'')) {
      std::string word = Word();
      if (word.empty()) return Wrong("the value is missing");
      Skip();
      return word;
    }
    const char quote = rest_.front();
    std::string text;
    for (size_t i = 1; i < rest_.size(); ++i) {
      if (rest_[i] == quote) {
        rest_.remove_prefix(i + 1);
        Skip();
        return text;
      }
      if (quote == '"' && rest_[i] == '\\') {
        if (++i == rest_.size() || (rest_[i] != '"' && rest_[i] != '\\'))
          return Wrong("a backslash stands before \" or \\ only");
      }
      text += rest_[i];
    }
    return Wrong("a quote is not closed");
  }
  std::string_view rest_;
  const std::string place_;
};

Result<> TakeLine(CLI::App& app, const std::string& text, const std::string& place,
                  SettingSources& sources) {
  ZN_ASSIGN_OR_RETURN(const Line line, LineParser(text, place).Parse());
  if (line.name.empty()) return {};
  CLI::Option* option = app.get_option_no_throw("--" + line.name);
  if (!option || !IsSetting(*option)) {
    std::vector<std::string> known;
    for (const CLI::Option* each : app.get_options())
      if (IsSetting(*each)) known.push_back(NameOf(*each));
    const std::vector<std::string> near = formats::NearMisses(line.name, known);
    return Wrong(place, "there is no setting '" + line.name + "'" +
                            (near.empty() ? "" : "; did you mean '" + near.front() + "'?"));
  }
  if (line.list && option->get_expected_max() <= 1)
    return Wrong(place, line.name + " takes one value, no list");
  const auto source = sources.find(line.name);
  if (source != sources.end()) {
    if (source->second.find(':') != source->second.npos)
      return Wrong(place, line.name + " is set at " + source->second + " already");
    return {};  // by a flag, or by the environment
  }
  try {
    for (const std::string& value : line.values) option->add_result(value);
    if (!line.values.empty()) option->run_callback();
  } catch (const CLI::Error& error) {
    return Wrong(place, error.what());
  }
  sources[line.name] = place;
  return {};
}

Result<> TakeFile(CLI::App& app, const std::string& path, SettingSources& sources) {
  std::ifstream file(path);
  if (!file) return Wrong(path, std::string("cannot be read: ") + std::strerror(errno));
  std::string line;
  for (int number = 1; std::getline(file, line); ++number) {
    ZN_RETURN_IF_ERROR(TakeLine(app, line, path + ":" + std::to_string(number), sources));
  }
  if (file.bad()) return Wrong(path, "cannot be read");
  return {};
}

// The first line of a file that holds nothing but a secret, or the variable. A file wins.
Result<std::string> ReadSecret(const std::string& file_name, const char* variable) {
  if (file_name.empty()) {
    const char* text = std::getenv(variable);
    return std::string(text ? text : "");
  }
  std::ifstream file(file_name);
  std::string secret;
  if (!file || !std::getline(file, secret) || secret.empty())
    return Wrong(file_name, "holds no secret in its first line");
  return secret;
}

Result<bool> IsLoopback(const std::string& address) {
  SystemError error;
  const auto ip = net::ip::make_address(address, error);
  if (error) return Wrong("--address", "'" + address + "' is not an IP address");
  return ip.is_loopback();
}

std::string Quoted(const std::string& text) {
  if (text == "true" || text == "false") return text;
  if (!text.empty() && text.find_first_not_of("0123456789.-") == text.npos) return text;
  std::string quoted = "\"";
  for (const char c : text) {
    if (c == '"' || c == '\\') quoted += '\\';
    quoted += c;
  }
  return quoted + "\"";
}

}  // namespace

void AddSettings(CLI::App& app, Settings& s) {
  const auto port = [](int low, int high) { return CLI::Range(low, high); };
  app.add_option("--config", s.config,
                 "File of settings: `max-reply = 512` a line, without the dashes")
      ->envname("ZNDRAW_CONFIG");
  app.add_flag("--print-config", s.print_config,
               "Print every setting, and where it comes from, and end");
  app.add_option("--store", s.store, "Directory of the store")->envname("ZNDRAW_STORAGE_PATH");
  app.add_flag("--create", s.create, "Make the store when there is none");
  app.add_option("--port", s.http.port, "TCP port; 0 takes a free one and logs it");
  app.add_option("--address", s.http.address, "IP address to listen on");
  app.add_flag("--insecure-bind", s.insecure_bind,
               "Allow plain HTTP on an --address that is not loopback");
  app.add_option("--tls-cert", s.tls_certificate,
                 "PEM file of the certificate and those that signed it: HTTPS instead of HTTP; "
                 "read again on SIGHUP");
  app.add_option("--tls-key", s.tls_key, "PEM file of its key, without a passphrase");
  app.add_flag("--read-only", s.read_only,
               "Take no lock, refuse every write, and serve what another process (zn-import) "
               "commits as it does");
  app.add_option("--allow-host", s.api.allowed_hosts,
                 "A further name that requests may have in Host (repeatable)")
      ->delimiter(',');
  app.add_option("--allow-origin", s.api.allowed_origins,
                 "An origin whose pages may use this server, as https://example.org (repeatable)")
      ->delimiter(',');
  app.add_option("--threads", s.http.io_threads, "Threads that serve connections; 0: one a core")
      ->check(port(0, 1024));
  app.add_option("--rate-limit", s.rate_limit,
                 "Requests per second of each token, or of each address without one; 0: any. "
                 "Default: any on loopback, else 1000")
      ->check(CLI::Range(0.0, 1e9));
  app.add_option("--rate-burst", s.rate_burst,
                 "Requests that may come at once. Default: those of two seconds")
      ->check(CLI::Range(1.0, 1e9));
  app.add_option("--max-reply", s.max_reply_mib, "Largest reply in MiB")
      ->check(CLI::Range(1.0, 1048576.0));
  app.add_option("--max-body", s.http.max_body, "Largest body of frames in bytes");
  app.add_option("--max-upload", s.max_upload_mib, "Largest file to import in MiB")
      ->envname("ZNDRAW_MAX_UPLOAD_MB")
      ->check(CLI::Range(1, 1 << 24));
  app.add_option("--upload-temp", s.http.spool_folder,
                 "Folder for bodies and uploads while they are read")
      ->check(CLI::ExistingDirectory);
  app.add_option("--import-program", s.api.import_program,
                 "zn-import, if it does not lie beside this program");
  app.add_option("--import-memory", s.import_memory_mib,
                 "MiB of address space of an import's reader")
      ->check(CLI::Range(256, 1 << 24));
  app.add_option("--import-seconds", s.api.import_seconds,
                 "Seconds of processor time of an import's reader")
      ->check(CLI::Range(1, 1 << 24));
  app.add_option("--max-connections", s.http.max_connections, "Connections at a time")
      ->check(CLI::Range(1, 1000000));
  app.add_option("--idle-timeout", s.http.idle_seconds, "Seconds between requests of a connection")
      ->check(CLI::Range(1, 86400));
  app.add_option("--header-timeout", s.http.header_seconds,
                 "Seconds that a request's head, or a TLS handshake, may take")
      ->check(CLI::Range(1, 86400));
  app.add_option("--min-body-rate", s.http.min_body_rate,
                 "Bytes per second, averaged over --header-timeout, that a body must come at; 0: any")
      ->check(CLI::Range(0, 1 << 30));
  app.add_option("--body-memory", s.body_memory_mib,
                 "MiB of bodies that are still coming, of all connections; beyond it they go to files of "
                 "--upload-temp")
      ->check(CLI::Range(1, 1 << 20));
  app.add_option("--write-timeout", s.http.write_seconds,
                 "Seconds without a client reading its reply")
      ->check(CLI::Range(1, 86400));
  app.add_option("--stop-timeout", s.http.stop_seconds,
                 "Seconds for replies in flight when stopping")
      ->check(CLI::Range(0, 3600));
  app.add_option("--cache-gib", s.cache_gib, "GiB of decoded chunks kept on disk")
      ->check(CLI::Range(0.0, 1048576.0));
  app.add_option("--keep", s.keep,
                 "How much of its past a room keeps that says not so itself: all, a number of commits (100), or a "
                 "duration (36h, 30d)")
      ->check([](const std::string& text) {
        const auto retention = ParseRetention(text);
        return retention ? std::string() : retention.error().message;
      });
  app.add_option("--collect-rate", s.collect_rate,
                 "Bytes a second that the collection reads and copies at most, e.g. 50MB; 0: no collection")
      ->transform(CLI::AsSizeValue(true));
  app.add_option("--collect-every", s.collect_every_s,
                 "Seconds between collections of a store that changes; much that is written, or a room that is deleted, "
                 "brings one sooner")
      ->check(CLI::Range(0.1, 1e7));
  app.add_option("--reserve", s.reserve,
                 "Free bytes of the disk that only undo, deletions and the collection may use, e.g. 64MB: other writes "
                 "get 507 before")
      ->transform(CLI::AsSizeValue(true));
  app.add_option("--cache-maps", s.cache_maps, "Decoded chunks mapped at a time")
      ->check(CLI::PositiveNumber);
  app.add_option("--events-kept", s.hub.events_per_topic,
                 "Events of a room that a client can catch up on")
      ->check(CLI::Range(1, 1000000));
  app.add_option("--events-memory", s.hub.max_bytes, "Bytes of events kept, of all rooms")
      ->check(CLI::Range(1 << 16, 1 << 30));
  app.add_option("--max-unsent", s.api.follow.max_unsent,
                 "Bytes that may wait for a client that follows events before it is dropped")
      ->check(CLI::Range(1 << 10, 1 << 30));
  app.add_option("--event-heartbeat", s.api.follow.heartbeat_ms,
                 "Milliseconds between the comments of an idle event stream")
      ->check(CLI::Range(100, 3600000));
  app.add_flag("--conformance", s.sockets.conformance,
               "For the public protocol test suites: Engine.IO echoes at /engine.io/, Socket.IO at "
               "/socket.io/, short timeouts; port 3000 unless --port is given");
  app.add_flag("--access-log", s.access_log, "Log every request");
  app.add_option("--admin-username", s.access.admin_username,
                 "User name of the admin, for /api/login");
  app.add_option("--admin-password-file", s.admin_password_file,
                 "File with the admin's password; wins over ZNDRAW_ADMIN_PASSWORD, which has the "
                 "password itself");
  app.add_option("--session-secret-file", s.session_secret_file,
                 "File with what session tokens are signed with; wins over FLASK_SECRET_KEY, which "
                 "has the secret itself; "
                 "without either the store keeps a random one");
  app.add_flag("--no-anonymous", s.no_anonymous, "Ask everybody for a token, also on this machine");
  for (CLI::Option* option : app.get_options())
    if (IsSetting(*option) && option->get_envname().empty())
      option->envname(VariableOf(NameOf(*option)));
}

Result<SettingSources> CompleteSettings(CLI::App& app, int argc, const char* const* argv,
                                        Settings& s) {
  SettingSources sources;
  for (const CLI::Option* option : app.get_options())
    if (IsSetting(*option) && option->count() > 0)
      sources[NameOf(*option)] =
          OnCommandLine(option->get_name(), argc, argv) ? "flag" : option->get_envname();
  if (!s.config.empty()) ZN_RETURN_IF_ERROR(TakeFile(app, s.config, sources));

  if (s.tls_certificate.empty() != s.tls_key.empty())
    return Error{ErrorCode::kInvalidArgument, "--tls-cert and --tls-key go together"};
  ZN_ASSIGN_OR_RETURN(const bool loopback, IsLoopback(s.http.address));
  if (!loopback && !s.insecure_bind && s.tls_certificate.empty())
    return Error{ErrorCode::kInvalidArgument,
                 s.http.address +
                     " is not a loopback address: give --tls-cert and --tls-key, "
                     "or --insecure-bind for plain HTTP"};
  ZN_ASSIGN_OR_RETURN(s.access.admin_password,
                      ReadSecret(s.admin_password_file, "ZNDRAW_ADMIN_PASSWORD"));
  ZN_ASSIGN_OR_RETURN(s.access.session_secret,
                      ReadSecret(s.session_secret_file, "FLASK_SECRET_KEY"));
  s.access.anonymous_on_loopback = !s.no_anonymous;
  s.rate.per_second = s.rate_limit.value_or(loopback ? 0 : kRemoteRate);
  s.rate.burst = s.rate_burst.value_or(2 * s.rate.per_second);
  s.http.bodies_in_memory = static_cast<uint64_t>(s.body_memory_mib) << 20;
  s.api.read_only = s.read_only;
  s.api.max_upload = static_cast<uint64_t>(s.max_upload_mib) << 20;
  s.api.upload_folder = s.http.spool_folder;
  s.api.import_memory = s.import_memory_mib << 20;
  s.api.max_reply = static_cast<int64_t>(s.max_reply_mib * (1 << 20));
  if (s.sockets.conformance && !sources.contains("port")) s.http.port = 3000;
  if (s.access_log) s.http.access_log = LogAccess;
  return sources;
}

std::string PrintSettings(const CLI::App& app, const SettingSources& sources) {
  std::string out;
  for (const CLI::Option* option : app.get_options()) {
    if (!IsSetting(*option)) continue;
    const std::string name = NameOf(*option);
    const auto source = sources.find(name);
    const bool flag = option->get_expected_min() == 0;
    std::string value;
    if (source == sources.end()) {
      value = option->get_default_str();
      if (value.empty() || value == "[]" || value == "{}") value = flag ? "false" : "";
      value = value.empty() ? "" : Quoted(value);
    } else if (option->get_expected_max() > 1 && !flag) {
      value = "[";
      for (const std::string& item : option->results())
        value += (value.size() == 1 ? "" : ", ") + Quoted(item);
      value += "]";
    } else {
      value = Quoted(option->results().back());
    }
    const std::string from = source == sources.end() ? "default" : source->second;
    out += value.empty() ? "# " + name + " =  # not set\n"
                         : name + " = " + value + "  # " + from + "\n";
  }
  return out;
}

}  // namespace zn::server
