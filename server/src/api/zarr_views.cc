#include "api/zarr_views.h"

#include <algorithm>
#include <nlohmann/json.hpp>

#include "zn/formats/fields.h"

namespace zn::server {
namespace {

ZarrViewOptions OptionsOf(const std::string& room, bool sharded,
                          std::shared_ptr<ZarrChunkCache> cache) {
  ZarrViewOptions options;
  options.sharded = sharded;
  options.cache = std::move(cache);
  options.attributes = nlohmann::json{{"room", room}}.dump();
  options.aliases = [](std::string_view field) {
    std::vector<std::string> aliases;
    if (const formats::CanonicalField* known = formats::FindCanonical(field))
      aliases.assign(known->aliases.begin(), known->aliases.end());
    return aliases;
  };
  return options;
}

}  // namespace

std::shared_ptr<ZarrViews::Entry> ZarrViews::Touch(uint64_t incarnation, const CommitId& commit,
                                                   bool sharded, bool add) {
  std::lock_guard lock(mutex_);
  auto at = std::find_if(entries_.begin(), entries_.end(), [&](const auto& entry) {
    return entry->commit == commit && entry->incarnation == incarnation &&
           entry->sharded == sharded;
  });
  if (at == entries_.end()) {
    if (!add) return nullptr;
    auto entry = std::make_shared<Entry>();
    entry->incarnation = incarnation;
    entry->commit = commit;
    entry->sharded = sharded;
    entries_.push_front(std::move(entry));
    if (entries_.size() > kMaxViews) entries_.pop_back();
    return entries_.front();
  }
  entries_.splice(entries_.begin(), entries_, at);
  entries_.front()->used = true;
  return entries_.front();
}

Result<std::shared_ptr<const ZarrView>> ZarrViews::Get(const std::string& room,
                                                       const Snapshot& snapshot, bool sharded) {
  auto entry = Touch(snapshot.incarnation(), snapshot.commit(), sharded, /*add=*/true);
  std::lock_guard making(entry->making);
  {
    std::lock_guard lock(mutex_);
    if (entry->view) return entry->view;
  }
  ZN_ASSIGN_OR_RETURN(auto view, ZarrView::Create(snapshot, OptionsOf(room, sharded, chunks_)));
  std::lock_guard lock(mutex_);
  return entry->view = std::move(view);
}

std::shared_ptr<const ZarrView> ZarrViews::Find(uint64_t incarnation, const CommitId& commit,
                                                bool sharded) {
  auto entry = Touch(incarnation, commit, sharded, /*add=*/false);
  if (!entry) return nullptr;
  std::lock_guard lock(mutex_);
  return entry->view;
}

void ZarrViews::Tidy() {
  std::lock_guard lock(mutex_);
  std::erase_if(entries_, [](const auto& entry) { return !std::exchange(entry->used, false); });
}

}  // namespace zn::server
