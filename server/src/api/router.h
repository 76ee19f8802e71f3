// From method and path to the function that answers, and what holds for all of them: who may ask,
// CORS, errors.
#pragma once

#include <memory>
#include <span>
#include <string>
#include <string_view>

#include "api/service.h"
#include "http/handler.h"

namespace zn::server {

/// A request with what its path named.
struct Call {
  Service& service;
  const OwnedRequest& owned;
  std::string room, frame;  // percent-decoded; empty where the path has none

  const Request& request() const { return owned.request; }
};

struct Route {
  Method method;             // GET also answers HEAD
  std::string_view pattern;  // "/api/rooms/{room}/frames/{frame}"
  Answer<Reply> (*answer)(const Call& call);
};

/// Every route, the more specific of two that match first.
std::span<const Route> Routes();

/// nullopt: fine. 403 for a foreign Host or Origin.
std::optional<Problem> CheckOrigin(const ApiOptions& options, const Request& request);

/// The handler of the whole API.
class ApiHandler final : public Handler {
 public:
  explicit ApiHandler(Service* service) : service_(service) {}
  std::unique_ptr<WorkerState> NewWorkerState() override;
  void Tidy(WorkerState* state) override;
  int TryInline(const Request& request, const InlineContext& context) override;
  Reply Handle(const OwnedRequest& request) override;

 private:
  Answer<Reply> Dispatch(const OwnedRequest& request);
  Service* service_;
};

}  // namespace zn::server
