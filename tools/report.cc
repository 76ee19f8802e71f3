#include "report.h"

#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <filesystem>

#include "zn/formats/text_writer.h"

namespace zn::tools {
namespace {

std::string Format(const char* format, double value) {
  char text[64];
  std::snprintf(text, sizeof text, format, value);
  return text;
}

// Terminal columns of UTF-8 text without wide characters.
size_t Width(std::string_view text) {
  return static_cast<size_t>(
      std::count_if(text.begin(), text.end(), [](char c) { return (c & 0xC0) != 0x80; }));
}

std::string Padded(std::string text, size_t width) {
  size_t now = Width(text);
  if (now < width) text.append(width - now, ' ');
  return text;
}

}  // namespace

std::string HumanBytes(double bytes) {
  const char* units[] = {"B", "kB", "MB", "GB", "TB", "PB"};
  size_t unit = 0;
  while (bytes >= 999.5 && unit + 1 < std::size(units)) {
    bytes /= 1000;
    ++unit;
  }
  return Format(unit == 0 || bytes >= 99.95 ? "%.0f " : "%.1f ", bytes) + units[unit];
}

std::string HumanTime(double seconds) {
  if (!(seconds >= 0) || seconds > 1e9) return "?";
  if (seconds < 99.5) return Format(seconds < 9.995 ? "%.2f s" : "%.0f s", seconds);
  int64_t whole = std::llround(seconds);
  char text[64];
  if (whole < 3600) {
    std::snprintf(text, sizeof text, "%d min %02d s", static_cast<int>(whole / 60),
                  static_cast<int>(whole % 60));
  } else {
    std::snprintf(text, sizeof text, "%d h %02d min", static_cast<int>(whole / 3600),
                  static_cast<int>(whole / 60 % 60));
  }
  return text;
}

std::string HumanCount(int64_t count) {
  std::string text = std::to_string(count);
  for (int64_t at = static_cast<int64_t>(text.size()) - 3; at > (count < 0 ? 1 : 0); at -= 3)
    text.insert(static_cast<size_t>(at), 1, ',');
  return text;
}

std::string ProgressLine(const Progress& progress, double seconds, int columns) {
  std::string name = std::filesystem::path(progress.file).filename().string();
  if (Width(name) > 24) name = name.substr(0, 21) + "...";
  double rate = seconds > 0 ? static_cast<double>(progress.raw_bytes) / seconds : 0;
  std::string tail = HumanCount(progress.frames) + " frames  " + HumanBytes(rate) + "/s  ";
  if (progress.committing) {
    tail += "syncing";
  } else if (progress.fraction > 0.005 && seconds > 0.3) {
    tail += "ETA " + HumanTime(seconds * (1 - progress.fraction) / progress.fraction);
  }
  int percent = static_cast<int>(std::clamp(progress.fraction, 0.0, 1.0) * 100);
  std::string head = name + " ";
  std::string middle = " " + std::to_string(percent) + "%  ";
  int room = columns - 3 - static_cast<int>(Width(head) + middle.size() + tail.size());
  std::string bar;
  if (room >= 8) {
    int width = std::min(room, 40);
    int filled = width * percent / 100;
    bar = "[" + std::string(static_cast<size_t>(filled), '#') +
          std::string(static_cast<size_t>(width - filled), '.') + "]";
  }
  return head + bar + middle + tail;
}

std::string ProgressJson(const Progress& progress, double seconds) {
  JsonObject json;
  json.Add("event", std::string_view("progress"));
  json.Add("file", progress.file);
  json.Add("fraction", progress.fraction);
  json.Add("frames", progress.frames);
  json.Add("atoms", progress.atoms);
  json.Add("raw_bytes", progress.raw_bytes);
  json.Add("seconds", seconds);
  json.Add("frames_per_second", seconds > 0 ? static_cast<double>(progress.frames) / seconds : 0.0);
  if (progress.fraction > 0)
    json.Add("eta_seconds", seconds * (1 - progress.fraction) / progress.fraction);
  json.Add("state", progress.committing ? std::string_view("committing") : progress.state);
  return std::move(json).Take();
}

std::string Table(const std::vector<std::vector<std::string>>& rows) {
  std::vector<size_t> widths;
  for (const auto& row : rows) {
    widths.resize(std::max(widths.size(), row.size()), 0);
    for (size_t i = 0; i < row.size(); ++i) widths[i] = std::max(widths[i], Width(row[i]));
  }
  std::string text;
  for (const auto& row : rows) {
    text += "  ";
    for (size_t i = 0; i + 1 < row.size(); ++i) text += Padded(row[i], widths[i] + 2);
    text += (row.empty() ? "" : row.back()) + "\n";
  }
  return text;
}

void JsonObject::Key(std::string_view key) {
  if (text_.size() > 1) text_ += ',';
  formats::AppendJsonString(key, text_);
  text_ += ':';
}

JsonObject& JsonObject::Add(std::string_view key, std::string_view text) {
  Key(key);
  formats::AppendJsonString(text, text_);
  return *this;
}
JsonObject& JsonObject::Add(std::string_view key, int64_t value) {
  return AddRaw(key, std::to_string(value));
}
JsonObject& JsonObject::Add(std::string_view key, double value) {
  return AddRaw(key, std::isfinite(value) ? Format("%.6g", value) : "null");
}
JsonObject& JsonObject::AddFlag(std::string_view key, bool value) {
  return AddRaw(key, value ? "true" : "false");
}
JsonObject& JsonObject::AddRaw(std::string_view key, std::string_view value) {
  Key(key);
  text_ += value;
  return *this;
}

std::string JsonList(const std::vector<std::string>& values) {
  std::string text = "[";
  for (const std::string& value : values) text += (text.size() > 1 ? "," : "") + value;
  return text + "]";
}

std::string FailureJson(const Failure& failure) {
  JsonObject json;
  json.Add("event", std::string_view("error"));
  json.Add("code", ErrorCodeName(failure.error.code));
  json.Add("message", failure.error.message);
  json.Add("exit_code", static_cast<int64_t>(ExitCodeOf(failure)));
  return std::move(json).Take();
}

ProgressReporter::Mode ProgressReporter::ModeFor(bool json) {
  if (json) return Mode::kJson;
  return ::isatty(STDERR_FILENO) ? Mode::kBar : Mode::kNone;
}

ProgressReporter::ProgressReporter(Mode mode) : mode_(mode) {
  if (mode_ != Mode::kNone) thread_ = std::thread([this] { Run(); });
}

ProgressReporter::~ProgressReporter() {
  if (!thread_.joinable()) return;
  {
    std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  wake_.notify_all();
  thread_.join();
  if (mode_ == Mode::kBar) std::fputs("\r\x1b[K", stderr);
}

void ProgressReporter::Update(const Progress& progress) {
  if (mode_ == Mode::kNone) return;
  std::lock_guard lock(mutex_);
  progress_ = progress;
  any_ = true;
}

void ProgressReporter::Run() {
  const auto interval =
      mode_ == Mode::kJson ? std::chrono::milliseconds(1000) : std::chrono::milliseconds(100);
  std::unique_lock lock(mutex_);
  auto next = begin_ + interval;
  while (!wake_.wait_until(lock, next, [&] { return stopping_; })) {
    next += interval;
    if (!any_) continue;
    Progress progress = progress_;
    lock.unlock();
    double seconds =
        std::chrono::duration<double>(std::chrono::steady_clock::now() - begin_).count();
    if (mode_ == Mode::kJson) {
      std::string line = ProgressJson(progress, seconds) + "\n";
      std::fwrite(line.data(), 1, line.size(), stdout);
      std::fflush(stdout);
    } else {
      winsize size{};
      int columns =
          ::ioctl(STDERR_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 0 ? size.ws_col : 80;
      std::string line = "\r\x1b[K" + ProgressLine(progress, seconds, columns);
      std::fwrite(line.data(), 1, line.size(), stderr);
    }
    lock.lock();
  }
}

}  // namespace zn::tools
