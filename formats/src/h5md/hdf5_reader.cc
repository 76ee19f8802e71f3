// The Reader of both formats: a Plan, batches made ahead of the caller.
#include <algorithm>
#include <thread>

#include "column_map.h"
#include "h5md/batch_builder.h"
#include "h5md/h5md.h"
#include "h5md/plan_h5md.h"
#include "h5md/read_ahead.h"

namespace zn::formats {
namespace {

class Hdf5Reader final : public Reader {
 public:
  Hdf5Reader(Plan plan, const ReadOptions& options, ColumnMapper mapper)
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

using MakePlan = Result<Plan> (*)(const std::shared_ptr<const h5::File>&, const ReadOptions&,
                                  ColumnMapper&);

Result<std::unique_ptr<Reader>> Open(const std::string& path, const ReadOptions& options,
                                     MakePlan make_plan) {
  if (options.start < 0 || options.step < 1) {
    return Error{ErrorCode::kInvalidArgument, "start must not be negative, step must be positive"};
  }
  ZN_ASSIGN_OR_RETURN(ColumnMapper mapper, ColumnMapper::Create(options));
  ZN_ASSIGN_OR_RETURN(auto file, h5::File::Open(path));
  ZN_ASSIGN_OR_RETURN(Plan plan, make_plan(file, options, mapper));
  return std::unique_ptr<Reader>(new Hdf5Reader(std::move(plan), options, std::move(mapper)));
}

// An asebytes file's groups, in a file that can be opened.
bool LooksRagged(const std::string& path, std::span<const std::byte> head) {
  if (!h5::HasSignature(head)) return false;
  auto file = h5::File::Open(path);
  if (!file) return false;
  auto particles = (*file)->Find((*file)->root(), "particles");
  if (particles && *particles) return false;
  auto groups = AsebytesGroups(**file);
  return groups && !groups->empty();
}

}  // namespace

const Format& H5mdFormat() {
  static const Format format{"h5md",
                             "H5MD 1.x: ZnH5MD, asebytes, LAMMPS, ESPResSo++, MDAnalysis, HALMD",
                             {".h5md", ".h5", ".hdf5"},
                             [](const std::string& path, std::span<const std::byte> head) {
                               return h5::HasSignature(head) && !LooksRagged(path, head);
                             },
                             [](const std::string& path, const ReadOptions& options) {
                               return Open(path, options, PlanH5md);
                             }};
  return format;
}

const Format& AsebytesH5Format() {
  static const Format format{"asebytes-h5",
                             "asebytes' ragged HDF5 (.h5)",
                             {".h5"},
                             LooksRagged,
                             [](const std::string& path, const ReadOptions& options) {
                               return Open(path, options, PlanAsebytes);
                             }};
  return format;
}

}  // namespace zn::formats
