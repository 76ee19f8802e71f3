#include "h5md/plan_reader.h"

#include <algorithm>
#include <thread>

#include "h5md/batch_builder.h"
#include "h5md/read_ahead.h"

namespace zn::formats {
namespace {

class PlanReader final : public Reader {
 public:
  PlanReader(Plan plan, const ReadOptions& options, ColumnMapper mapper)
      : warnings_(std::move(plan.warnings)),
        mapper_(std::move(mapper)),
        builder_(std::move(plan), options) {
    size_t threads = options.threads > 0 ? static_cast<size_t>(options.threads)
                                         : std::max(1u, std::thread::hardware_concurrency());
    ahead_.emplace(builder_.batches(), threads, threads + 1,
                   [this](size_t i) { return builder_.Build(i); });
  }

  Result<std::optional<FrameBatch>> Next() override {
    if (failed_) return *failed_;
    if (next_ >= builder_.batches()) {
      auto finished = mapper_.Finish();
      if (!finished) return Remember(std::move(finished).error());
      return std::optional<FrameBatch>();
    }
    ++next_;
    auto built = ahead_->Take();
    if (!built) return Remember(std::move(built).error());
    for (const Warning& warning : built->warnings) Add(warning);
    auto applied = mapper_.Apply(built->batch);
    if (!applied) return Remember(std::move(applied).error());
    done_ += built->batch.frames();
    return std::optional<FrameBatch>(std::move(built->batch));
  }

  std::optional<int64_t> total_frames() const override { return builder_.frames(); }
  double progress() const override {
    return builder_.frames() == 0
               ? 1
               : static_cast<double>(done_) / static_cast<double>(builder_.frames());
  }
  const std::vector<Warning>& warnings() const override { return warnings_; }

 private:
  Error Remember(Error error) {
    failed_ = error;
    return error;
  }
  void Add(const Warning& warning) {
    // Once a place: what differs between two of them is which frame was first.
    for (Warning& known : warnings_) {
      if (known.place == warning.place &&
          known.message.substr(0, 12) == warning.message.substr(0, 12)) {
        known.count += warning.count;
        return;
      }
    }
    warnings_.push_back(warning);
  }

  std::vector<Warning> warnings_;
  ColumnMapper mapper_;
  BatchBuilder builder_;
  std::optional<ReadAhead<BuiltBatch>> ahead_;
  size_t next_ = 0;
  int64_t done_ = 0;
  std::optional<Error> failed_;
};

}  // namespace

std::unique_ptr<Reader> MakePlanReader(Plan plan, const ReadOptions& options, ColumnMapper mapper) {
  return std::make_unique<PlanReader>(std::move(plan), options, std::move(mapper));
}

}  // namespace zn::formats
