// A Socket.IO client of the rooms: what it follows, and the events it sends, one after the other.
#pragma once

#include <mutex>
#include <optional>
#include <string>
#include <unordered_map>

#include "http/request.h"
#include "socketio/socketio_client.h"

namespace zn::server {

class ApiHandler;
struct Service;

/// Connections that may come back: by the secret that each was given, its name.
class ResumeTable {
 public:
  void Put(const std::string& token, const std::string& sid);
  /// The name, once.
  std::optional<std::string> Take(const std::string& token);
  void Drop(const std::string& token);

 private:
  std::mutex mutex_;
  std::unordered_map<std::string, std::string> sids_;  // guarded by mutex_
};

/// What clients of rooms share. Must outlive the server, as what it points to.
struct RoomClientContext {
  Service* service = nullptr;
  ApiHandler* handler = nullptr;
  ResumeTable resumable;
};

/// The application of namespace "/", for a session that was opened with `request`: its token stands
/// in where `auth` has none.
socketio::MakeApplication RoomClients(RoomClientContext* context, const Request& request);

}  // namespace zn::server
