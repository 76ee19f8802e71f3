// Which room is the default: the one named `default`, until another is made it.
#pragma once

#include <functional>
#include <string>

#include "api/audit_changes.h"
#include "api/service.h"

namespace zn::server {

std::string DefaultRoom(const Service& service);
/// Makes `source`'s room the default: durable, with what `also` writes, and told to followers when it returns.
Answer<bool> SetDefaultRoom(Service& service, const AuditSource& source,
                            const std::function<Result<>(RecordTransaction&)>& also);

}  // namespace zn::server
