// Locks and the presenter token over HTTP. What they do is in control/locks.h.
#pragma once

#include <nlohmann/json.hpp>

#include "api/router.h"

namespace zn::server {

/// "frame:7", "frame:-1", "frame:id:42" or "trajectory:meta"; 404 for a frame that is not there.
Answer<LockTarget> ParseLockTarget(const Snapshot& snapshot, std::string_view text);
/// "frame:7": where the frame stands now; "frame:id:42" when it is nowhere. "trajectory:meta".
std::string LockTargetText(const Snapshot& snapshot, LockTarget target);
/// {target, id, holder, msg, expires_in_ms, ...} without the token.
nlohmann::json LockJson(const Snapshot& snapshot, const LockInfo& lock);

/// What a room's model says of them: {msg, userName, timestamp} and the presenter's connection (or name); null for none.
nlohmann::json MetadataLockJson(const Service& service, const RoomKey& room);
nlohmann::json PresenterJson(const Service& service, const RoomKey& room);

Answer<Reply> ListLocks(const Call& call);
Answer<Reply> GetLock(const Call& call);
Answer<Reply> PutLock(const Call& call);
Answer<Reply> RefreshLock(const Call& call);
Answer<Reply> DeleteLock(const Call& call);

Answer<Reply> PutPresenter(const Call& call);
Answer<Reply> RenewPresenter(const Call& call);
Answer<Reply> DeletePresenter(const Call& call);

Answer<Reply> PostPresence(const Call& call);

}  // namespace zn::server
