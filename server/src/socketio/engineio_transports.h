// The owners of connections that carry Engine.IO: a handshake, a poll, a POST, a WebSocket.
#pragma once

#include <memory>
#include <string>

#include "http/channel.h"
#include "socketio/engineio_server.h"

namespace zn::server::engineio {

/// Opens a session and answers with its handshake.
std::shared_ptr<ChannelOwner> MakeHandshakeOwner(EngineServer* server,
                                                 std::shared_ptr<const OwnedRequest> request,
                                                 std::string cors);
/// Waits until the session has something to say.
std::shared_ptr<ChannelOwner> MakePollOwner(std::shared_ptr<EngineServer::Home> home,
                                            std::string cors);
/// Gives the session the body.
std::shared_ptr<ChannelOwner> MakePostOwner(std::shared_ptr<EngineServer::Home> home,
                                            std::shared_ptr<const OwnedRequest> request,
                                            std::string cors);
/// `home` is null when the session begins with it; otherwise it is tried beside long polling.
std::shared_ptr<ChannelOwner> MakeSocketOwner(EngineServer* server,
                                              std::shared_ptr<EngineServer::Home> home,
                                              std::shared_ptr<const OwnedRequest> request);

}  // namespace zn::server::engineio
