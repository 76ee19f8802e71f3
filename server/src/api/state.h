// State records and the audit log over HTTP. What they do is in control/state_records.h.
#pragma once

#include <nlohmann/json.hpp>

#include "api/router.h"

namespace zn::server {

/// {scope, target, key, value, version, actor_id, origin, timestamp, id?}: a frame's target is where it stands now.
nlohmann::json StateJson(const Snapshot& snapshot, const StateRecord& record);

Answer<Reply> ListState(const Call& call);
Answer<Reply> GetState(const Call& call);
Answer<Reply> PutState(const Call& call);
Answer<Reply> DeleteState(const Call& call);
Answer<Reply> PostState(const Call& call);
Answer<Reply> GetAudit(const Call& call);

}  // namespace zn::server
