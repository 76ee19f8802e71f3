// Which room is the default: the one named `default`, until another is made it.
#pragma once

#include <string>

#include "api/service.h"

namespace zn::server {

std::string DefaultRoom(const Service& service);
/// Durable when it returns.
Answer<bool> SetDefaultRoom(Service& service, const std::string& room);

}  // namespace zn::server
