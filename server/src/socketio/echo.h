// What the public test suites of both protocols expect of a server: zn-server --conformance.
#pragma once

#include "socketio/engineio_server.h"
#include "socketio/socketio_client.h"

namespace zn::server {

/// Sends every Engine.IO message back.
std::shared_ptr<engineio::SessionUser> MakeEngineEcho(const engineio::Opening& opening);

/// Namespaces / and /custom: emits "auth" with what the client connected with, answers "message"
/// with "message-back" and "message-with-ack" with an ack, each with the same arguments.
socketio::MakeApplication SocketEcho();

}  // namespace zn::server
