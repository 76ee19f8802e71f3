#include "extxyz/extxyz.h"

#include <sched.h>

#include <algorithm>
#include <condition_variable>
#include <deque>
#include <mutex>
#include <optional>
#include <thread>

#include "column_map.h"
#include "extxyz/batch_builder.h"
#include "extxyz/frame_scanner.h"
#include "extxyz/number.h"
#include "input/byte_source.h"
#include "zn/formats/fields.h"

namespace zn::formats {
namespace {

// Text of one frame beyond this is refused: it would not fit in memory several times over.
constexpr size_t kMaxFrameText = size_t{4} << 30;
// A batch of many tiny frames ends here; per-frame bookkeeping would outgrow the rows.
constexpr size_t kMaxFramesPerBatch = 16384;

int AvailableCores() {
  cpu_set_t set;
  if (sched_getaffinity(0, sizeof set, &set) == 0) return std::max(1, CPU_COUNT(&set));
  return std::max(1, static_cast<int>(std::thread::hardware_concurrency()));
}

// Text with whole frames, then what they were parsed to.
struct Job {
  std::vector<char> text;  // ends with a newline
  std::vector<FrameSpan> frames;
  int64_t position = 0;  // of the file, for progress

  bool done = false;  // guarded by the reader's mutex
  std::deque<FrameBatch> batches;
  std::vector<Warning> warnings;
  std::optional<Error> error;
};

// One thread reads, decompresses and finds frames; several parse; Next() hands batches on in order.
// At most in_flight_ jobs exist at once, which bounds the memory.
class ExtxyzReader : public Reader {
 public:
  ExtxyzReader(std::string path, std::unique_ptr<ByteSource> source, const ReadOptions& options,
               ColumnMapper mapper)
      : path_(std::move(path)),
        source_(std::move(source)),
        options_(options),
        mapper_(std::move(mapper)),
        text_bytes_(
            static_cast<size_t>(std::clamp<int64_t>(options.batch_bytes / 2, 64 << 10, 64 << 20))),
        workers_(options.threads > 0 ? options.threads : AvailableCores()),
        in_flight_(static_cast<size_t>(workers_) + 2) {
    // A small file is one piece a core.
    if (source_->compression() == Compression::kNone) {
      size_t share = static_cast<size_t>(source_->file_size()) / static_cast<size_t>(workers_) + 1;
      text_bytes_ = std::clamp<size_t>(share, 64 << 10, text_bytes_);
    }
  }

  ~ExtxyzReader() override {
    {
      std::lock_guard lock(mutex_);
      stopping_ = true;
    }
    changed_.notify_all();
    for (std::thread& thread : threads_) thread.join();
  }

  Result<std::optional<FrameBatch>> Next() override {
    Start();
    while (true) {
      if (!ready_.empty()) {
        FrameBatch batch = std::move(ready_.front());
        ready_.pop_front();
        Result<> applied = mapper_.Apply(batch);
        if (!applied) return std::move(applied).error().Context(path_);
        return std::optional<FrameBatch>(std::move(batch));
      }
      if (error_)
        return std::move(
            *std::exchange(error_, Error{ErrorCode::kInternal, path_ + ": read after an error"}));
      if (finished_) return std::optional<FrameBatch>();
      Take();
    }
  }

  std::optional<int64_t> total_frames() const override { return std::nullopt; }
  double progress() const override {
    if (finished_) return 1;
    int64_t size = source_->file_size();
    return size <= 0 ? 0
                     : std::min(1.0, static_cast<double>(progress_) / static_cast<double>(size));
  }
  const std::vector<Warning>& warnings() const override { return warnings_; }

 private:
  void Start() {
    if (!threads_.empty()) return;
    threads_.reserve(static_cast<size_t>(workers_) + 1);
    threads_.emplace_back([this] { Feed(); });
    for (int i = 0; i < workers_; ++i) threads_.emplace_back([this] { Parse(); });
  }

  // Waits for the next job in order and takes what it holds.
  void Take() {
    std::shared_ptr<Job> job;
    {
      std::unique_lock lock(mutex_);
      changed_.wait(lock, [&] {
        return (!order_.empty() && order_.front()->done) || (order_.empty() && fed_);
      });
      if (!order_.empty()) {
        job = std::move(order_.front());
        order_.pop_front();
      } else {
        AddWarnings(feed_warnings_);
        error_ = std::move(feed_error_);
      }
    }
    changed_.notify_all();
    if (job != nullptr) {
      progress_ = job->position;
      AddWarnings(job->warnings);
      ready_ = std::move(job->batches);
      if (job->error) error_ = std::move(job->error);
    } else if (!error_) {
      Result<> unused = mapper_.Finish();
      if (!unused) error_ = std::move(unused).error().Context(path_);
      finished_ = true;
    }
  }

  void AddWarnings(std::vector<Warning>& warnings) {
    for (Warning& warning : warnings) {
      auto same = std::find_if(warnings_.begin(), warnings_.end(),
                               [&](const Warning& w) { return w.message == warning.message; });
      if (same != warnings_.end())
        same->count += warning.count;
      else if (warnings_.size() < 100)
        warnings_.push_back(std::move(warning));
    }
    warnings.clear();
  }

  Error Located(Error error, int64_t frame) const {
    std::string remedy;
    if (frame > options_.start)
      remedy = "; or import only the frames before it with --stop " + std::to_string(frame);
    error.message += remedy;
    return std::move(error).Context(path_);
  }

  // The feeding thread.
  void Feed() {
    std::optional<Error> error;
    try {
      error = FeedAll();
    } catch (const std::bad_alloc&) {
      error = OutOfMemory();
    }
    {
      std::lock_guard lock(mutex_);
      feed_error_ = std::move(error);
      if (scanner_.blank_lines_between() > 0) {
        feed_warnings_.push_back(
            {"file", "blank lines between frames are skipped", scanner_.blank_lines_between()});
      }
      fed_ = true;
    }
    changed_.notify_all();
  }

  Error OutOfMemory() const {
    return Error{
        ErrorCode::kTooLarge,
        path_ + ": a frame does not fit in memory; split the file, or raise the memory limit"};
  }

  std::optional<Error> FeedAll() {
    std::vector<char> text = TakeText(text_bytes_);
    size_t filled = 0;
    bool last = false;
    std::optional<Error> read_error;
    while (true) {
      // Room for a newline behind a file that ends without one.
      if (!last) {
        if (filled + 1 >= text.size()) {
          if (text.size() >= kMaxFrameText) {
            return Located(
                Error{ErrorCode::kTooLarge, "frame " + std::to_string(scanner_.frames_found()) +
                                                ": has more than 4 GiB of text"},
                scanner_.frames_found());
          }
          text.resize(text.size() * 2);
        }
        Result<size_t> n =
            source_->Read(std::span<char>(text.data() + filled, text.size() - 1 - filled));
        if (!n) {
          read_error = std::move(n).error();
          last = true;
        } else {
          filled += *n;
          // Short: the end, or damage, which the next call tells.
          if (filled < text.size() - 1) {
            last = true;
            if (Result<size_t> more = source_->Read(std::span<char>(text.data() + filled, 1)); !more)
              read_error = std::move(more).error();
          }
        }
        if (last && !read_error && filled > 0 && text[filled - 1] != '\n') text[filled++] = '\n';
      }
      std::vector<FrameSpan> frames;
      // A stream that broke off is scanned for its whole frames only.
      Result<> scanned = scanner_.Scan(std::string_view(text.data(), filled), last && !read_error,
                                       Remaining(), kMaxFramesPerBatch, frames);
      int64_t found = scanner_.frames_found();
      bool all = scanned && frames.size() < kMaxFramesPerBatch;
      bool enough = found >= options_.stop;
      std::vector<FrameSpan> wanted;
      for (const FrameSpan& frame : frames)
        if (Wanted(options_, frame.index)) wanted.push_back(frame);
      size_t consumed = scanner_.consumed();
      bool end = enough || !scanned || (last && all);
      std::vector<char> next;
      if (!end) {
        // The next piece begins with the frame that is not whole yet.
        size_t rest = filled - consumed;
        next = TakeText(std::max(text_bytes_, rest + rest / 2 + 2));
        std::copy(text.begin() + static_cast<std::ptrdiff_t>(consumed),
                  text.begin() + static_cast<std::ptrdiff_t>(filled), next.begin());
        filled = rest;
        scanner_.Drop(consumed);
      }
      if (!wanted.empty()) {
        if (!Hand(std::move(text), std::move(wanted))) return std::nullopt;
      } else {
        GiveBack(std::move(text));
      }
      if (enough) return std::nullopt;
      if (!scanned) return Located(std::move(scanned).error(), found);
      if (end) {
        if (read_error) {
          // The source names the file.
          if (found > options_.start)
            read_error->message += ", or import only its " + std::to_string(found) +
                                   " whole frames with --stop " + std::to_string(found);
          return read_error;
        }
        if (found == 0) return Error{ErrorCode::kCorrupt, path_ + ": holds no frames; it is empty"};
        return std::nullopt;
      }
      text = std::move(next);
    }
  }

  // What the rest of the file can hold at most; nobody knows of compressed ones.
  int64_t Remaining() const {
    if (source_->compression() != Compression::kNone) return INT64_MAX;
    return std::max<int64_t>(0, source_->file_size() - source_->position()) + (1 << 20);
  }

  // False when the reader is being destroyed.
  bool Hand(std::vector<char> text, std::vector<FrameSpan> frames) {
    auto job = std::make_shared<Job>();
    job->text = std::move(text);
    job->frames = std::move(frames);
    job->position = source_->position();
    {
      std::unique_lock lock(mutex_);
      changed_.wait(lock, [&] { return stopping_ || order_.size() < in_flight_; });
      if (stopping_) return false;
      order_.push_back(job);
      waiting_.push_back(std::move(job));
    }
    changed_.notify_all();
    return true;
  }

  // Buffers are used again: fresh ones cost a page fault every 4 KiB.
  std::vector<char> TakeText(size_t size) {
    std::vector<char> text;
    {
      std::lock_guard lock(mutex_);
      if (!spare_.empty()) {
        text = std::move(spare_.back());
        spare_.pop_back();
      }
    }
    if (text.size() < size) text.resize(size);
    return text;
  }
  void GiveBack(std::vector<char> text) {
    if (text.size() > 2 * text_bytes_) return;
    std::lock_guard lock(mutex_);
    if (spare_.size() < in_flight_) spare_.push_back(std::move(text));
  }

  // A parsing thread.
  void Parse() {
    while (true) {
      std::shared_ptr<Job> job;
      {
        std::unique_lock lock(mutex_);
        changed_.wait(lock, [&] { return stopping_ || !waiting_.empty() || fed_; });
        if (stopping_ || waiting_.empty()) return;
        job = std::move(waiting_.front());
        waiting_.pop_front();
      }
      try {
        ParseJob(*job);
      } catch (const std::bad_alloc&) {
        job->error = OutOfMemory();
      }
      GiveBack(std::exchange(job->text, {}));
      {
        std::lock_guard lock(mutex_);
        job->done = true;
      }
      changed_.notify_all();
    }
  }

  void ParseJob(Job& job) {
    XyzBatchBuilder builder(mapper_);
    std::string_view text(job.text.data(), job.text.size());
    for (const FrameSpan& frame : job.frames) {
      Result<bool> added = builder.Add(text, frame);
      if (added && !*added) {
        job.batches.push_back(builder.Take());
        added = builder.Add(text, frame);
      }
      if (!added) {
        job.error = Located(std::move(added).error(), frame.index);
        break;
      }
    }
    if (builder.frames() > 0) job.batches.push_back(builder.Take());
    job.warnings = std::move(builder.warnings());
  }

  const std::string path_;
  const std::unique_ptr<ByteSource> source_;
  const ReadOptions options_;
  ColumnMapper mapper_;
  size_t text_bytes_;
  const int workers_;
  const size_t in_flight_;

  // Next()'s alone.
  std::deque<FrameBatch> ready_;
  std::optional<Error> error_;
  std::vector<Warning> warnings_;
  bool finished_ = false;
  int64_t progress_ = 0;

  FrameScanner scanner_;  // the feeding thread's

  std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<std::shared_ptr<Job>> order_;    // all jobs, by frame
  std::deque<std::shared_ptr<Job>> waiting_;  // those not begun
  std::vector<std::vector<char>> spare_;
  std::optional<Error> feed_error_;
  std::vector<Warning> feed_warnings_;
  bool fed_ = false;
  bool stopping_ = false;

  std::vector<std::thread> threads_;  // last: they use everything above
};

std::string_view NextLine(std::string_view& text) {
  size_t end = text.find('\n');
  std::string_view line = text.substr(0, end);
  text = end == std::string_view::npos ? std::string_view() : text.substr(end + 1);
  while (!line.empty() && IsBlank(line.back())) line.remove_suffix(1);
  while (!line.empty() && IsBlank(line.front())) line.remove_prefix(1);
  return line;
}

bool Detect(const std::string& path, std::span<const std::byte> head) {
  std::string_view text(reinterpret_cast<const char*>(head.data()), head.size());
  if (text.empty()) {
    for (std::string_view ending : {".xyz", ".extxyz", ".xyz.gz", ".xyz.bz2", ".xyz.xz"})
      if (path.ends_with(ending)) return true;
    return false;
  }
  if (text.find('\0') != std::string_view::npos) return false;
  if (text.starts_with("\xEF\xBB\xBF")) text.remove_prefix(3);
  std::string_view first;
  while (first.empty() && !text.empty()) first = NextLine(text);
  if (first.empty()) return true;  // blank: the reader says that there are no frames
  if (first[0] == '-' || first[0] == '+') first.remove_prefix(1);
  return !first.empty() && first.find_first_not_of("0123456789") == std::string_view::npos;
}

Result<std::unique_ptr<Reader>> Open(const std::string& path, const ReadOptions& options) {
  if (options.step < 1 || options.start < 0 || options.stop < 0) {
    return Error{ErrorCode::kInvalidArgument,
                 "start and stop must not be negative, and step must be positive"};
  }
  ZN_ASSIGN_OR_RETURN(ColumnMapper mapper, ColumnMapper::Create(options));
  ZN_ASSIGN_OR_RETURN(std::unique_ptr<ByteSource> source, ByteSource::Open(path));
  std::unique_ptr<Reader> reader =
      std::make_unique<ExtxyzReader>(path, std::move(source), options, std::move(mapper));
  return reader;
}

}  // namespace

const Format& ExtxyzFormat() {
  static const Format format{"extxyz",
                             "extended XYZ and plain xyz; also .gz, .bz2, .xz",
                             {".xyz", ".extxyz"},
                             Detect,
                             Open};
  return format;
}

}  // namespace zn::formats
