#include "api/jobs.h"

#include <nlohmann/json.hpp>

namespace zn::server {
namespace {

using nlohmann::json;

constexpr std::string_view kPrefix = "job\x1f";  // control records: docs/format.md
constexpr const char* kStates[] = {"queued", "running", "done", "failed", "cancelled"};

json ToJson(const Job& job) {
  const auto text = [](const std::string& value) { return value.empty() ? json(nullptr) : json(value); };
  return {{"id", job.id},           {"room", job.room},         {"state", kStates[static_cast<int>(job.state)]},
          {"percent", job.percent}, {"message", job.message},   {"error", text(job.error)},
          {"commit", text(job.commit)}};
}

std::optional<Job> FromJson(const std::string& text) {
  const json object = json::parse(text, nullptr, false);
  if (!object.is_object()) return std::nullopt;
  Job job;
  const auto member = [&](const char* name) {
    const auto at = object.find(name);
    return at != object.end() && at->is_string() ? at->get<std::string>() : std::string();
  };
  job.id = member("id");
  job.room = member("room");
  job.message = member("message");
  job.error = member("error");
  job.commit = member("commit");
  job.percent = object.value("percent", 0.0);
  const std::string state = member("state");
  for (int i = 0; i < 5; ++i)
    if (state == kStates[i]) job.state = static_cast<Job::State>(i);
  return job;
}

// Ids sort by when they were made, also across restarts.
std::string IdOf(uint64_t epoch, uint64_t number) {
  char text[40];
  std::snprintf(text, sizeof text, "job-%06llu-%06llu", static_cast<unsigned long long>(epoch),
                static_cast<unsigned long long>(number));
  return text;
}

}  // namespace

std::string JobJson(const Job& job) { return ToJson(job).dump(-1, ' ', false, json::error_handler_t::replace); }

Jobs::Jobs(Store* store, Listener listener) : store_(store), listener_(std::move(listener)) {
  if (auto records = store_->records().ScanPrefix(kPrefix, kMaxKept * 2)) {
    for (const Record& record : *records) {
      auto job = FromJson(record.value);
      if (!job) continue;
      if (!job->over()) {
        job->state = Job::State::kFailed;
        job->error = "the server was stopped while this import waited or ran; the room is as it was: import again";
        Save(*job);
      }
      jobs_[job->id] = std::move(*job);
    }
  }
  thread_ = std::thread([this] { Run(); });
}

Jobs::~Jobs() {
  {
    const std::lock_guard lock(mutex_);
    ending_ = true;
    queue_.clear();  // their records say "queued" until the next start finds them
    if (child_) child_->Kill();
  }
  due_.notify_one();
  thread_.join();
}

void Jobs::Save(const Job& job) {
  // A state that cannot be kept is still seen while the server runs.
  (void)store_->Update([&](RecordTransaction& records) {
    return records.Put(std::string(kPrefix) + job.id, ToJson(job).dump(-1, ' ', false, json::error_handler_t::replace));
  });
}

Result<Job> Jobs::Start(ImportRequest request) {
  Job job;
  job.room = request.room;
  job.message = "waiting";
  {
    const std::lock_guard lock(mutex_);
    if (queue_.size() >= kMaxQueued) return Error{ErrorCode::kBusy, "too many imports wait already; try again later"};
    job.id = IdOf(store_->epoch(), next_++);
    job.position = static_cast<int>(queue_.size()) + (running_.empty() ? 0 : 1);
    jobs_[job.id] = job;
    while (jobs_.size() > kMaxKept && jobs_.begin()->second.over()) {
      const std::string oldest = std::string(kPrefix) + jobs_.begin()->first;
      jobs_.erase(jobs_.begin());
      (void)store_->Update([&](RecordTransaction& records) { return records.Erase(oldest); });
    }
  }
  Save(job);
  if (listener_) listener_(job, false);
  {
    const std::lock_guard lock(mutex_);
    queue_.emplace_back(job.id, std::move(request));
  }
  due_.notify_one();
  return job;
}

std::optional<Job> Jobs::Find(const std::string& id) const {
  const std::lock_guard lock(mutex_);
  const auto at = jobs_.find(id);
  return at == jobs_.end() ? std::nullopt : std::optional<Job>(at->second);
}

std::vector<Job> Jobs::List() const {
  const std::lock_guard lock(mutex_);
  std::vector<Job> list;
  for (auto at = jobs_.rbegin(); at != jobs_.rend(); ++at) list.push_back(at->second);
  return list;
}

bool Jobs::Cancel(const std::string& id) {
  {
    const std::lock_guard lock(mutex_);
    const auto at = jobs_.find(id);
    if (at == jobs_.end() || at->second.over()) return false;
    if (running_ == id) {
      cancelled_ = true;
      if (child_) child_->Kill();
      return true;
    }
    std::erase_if(queue_, [&](const auto& item) { return item.first == id; });
  }
  Change(id, false, [](Job& job) {
    job.state = Job::State::kCancelled;
    job.message = "cancelled";
  });
  return true;
}

void Jobs::Change(const std::string& id, bool progress, const std::function<void(Job&)>& change) {
  Job job;
  {
    const std::lock_guard lock(mutex_);
    const auto at = jobs_.find(id);
    if (at == jobs_.end()) return;
    change(at->second);
    job = at->second;
  }
  if (!progress) Save(job);
  if (listener_) listener_(job, progress);
}

void Jobs::Run() {
  for (;;) {
    std::pair<std::string, ImportRequest> next;
    std::vector<std::string> behind;
    {
      std::unique_lock lock(mutex_);
      due_.wait(lock, [this] { return ending_ || !queue_.empty(); });
      if (ending_) return;
      next = std::move(queue_.front());
      queue_.pop_front();
      running_ = next.first;
      cancelled_ = false;
      for (const auto& item : queue_) behind.push_back(item.first);
    }
    for (size_t i = 0; i < behind.size(); ++i)
      Change(behind[i], false, [&](Job& job) { job.position = static_cast<int>(i) + 1; });
    RunOne(next.first, std::move(next.second));
    const std::lock_guard lock(mutex_);
    running_.clear();
  }
}

void Jobs::RunOne(const std::string& id, ImportRequest request) {
  Change(id, false, [](Job& job) {
    job.state = Job::State::kRunning;
    job.position = 0;
    job.message = "reading";
  });
  Result<CommitInfo> made = Error{};
  try {
    made = Import(id, request);
  } catch (const std::exception& error) {
    made = Error{ErrorCode::kInternal, error.what()};
  }
  bool cancelled;
  {
    const std::lock_guard lock(mutex_);
    cancelled = cancelled_;
    child_.reset();
    // What the stop of the server interrupts is found, and called failed, at its next start.
    if (ending_ && !made) return;
  }
  Change(id, false, [&](Job& job) {
    if (made) {
      job.state = Job::State::kDone;
      job.percent = 100;
      job.commit = made->commit.ToString();
    } else if (cancelled) {
      job.state = Job::State::kCancelled;
      job.message = "cancelled; the room is as it was";
    } else {
      job.state = Job::State::kFailed;
      job.error = made.error().message;
      job.message = "the room is as it was";
    }
  });
}

Result<CommitInfo> Jobs::Import(const std::string& id, const ImportRequest& request) {
  BulkAppender::Options options;
  options.layout = request.layout;
  options.max_bytes_in_flight = 64 << 20;
  std::unique_ptr<BulkAppender> appender;
  auto room = store_->OpenRoom(request.room);
  if (room) {
    if (!request.base.empty())
      return Error{ErrorCode::kAlreadyExists, "base: the room exists already, and only a new one has a base"};
    ZN_ASSIGN_OR_RETURN(appender, (*room)->StartBulkAppend(options));
  } else if (room.error().code == ErrorCode::kNotFound) {
    ZN_ASSIGN_OR_RETURN(appender, store_->CreateRoomByImport(request.room, {}, request.base, options));
  } else {
    return std::move(room).error();
  }
  std::shared_ptr<ImportChild> child;
  ZN_ASSIGN_OR_RETURN(child, ImportChild::Start(request.child));
  {
    const std::lock_guard lock(mutex_);
    child_ = child;
    if (cancelled_ || ending_) child->Kill();
  }
  int64_t frames = 0;
  double told = 0;
  for (;;) {
    ZN_ASSIGN_OR_RETURN(auto batch, child->Next());
    if (!batch) break;
    ZN_RETURN_IF_ERROR(appender->Append(*batch));
    frames += batch->frames();
    const double percent = 99 * child->progress();
    if (percent - told >= 1) {
      told = percent;
      Change(id, true, [&](Job& job) {
        job.percent = static_cast<int>(percent);
        job.message = std::to_string(frames) + " frames";
      });
    }
  }
  std::string message = std::to_string(frames) + " frames";
  const std::vector<std::string> of_store = appender->stats().warnings;
  for (const auto* warnings : {&child->warnings(), &of_store})
    for (const std::string& warning : *warnings)
      if (message.size() < 8192) message += "\nwarning: " + warning;
  {
    const std::lock_guard lock(mutex_);
    if (cancelled_) return Error{ErrorCode::kCancelled, "the import was cancelled"};
  }
  ZN_ASSIGN_OR_RETURN(CommitInfo made, appender->Finish(request.context));
  Change(id, true, [&](Job& job) { job.message = message; });
  return made;
}

}  // namespace zn::server
